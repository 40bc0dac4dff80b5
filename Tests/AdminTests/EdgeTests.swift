// Whoever asks, however badly, gets one answer in one shape, with headers that keep browsers at bay.
//
// Method: real sockets against a real gateway; each refusal is one row of a table.

import Gateway
import StrictJSON
import Testing

@testable import Admin

@Suite("the HTTP edge", .serialized)
struct EdgeTests {
    private static let headers: [(String, String)] = [
        ("x-content-type-options", "nosniff"), ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"), ("cross-origin-opener-policy", "same-origin"),
    ]

    private func expectHeaders(_ answer: Answer, _ what: String) {
        for (name, value) in Self.headers { #expect(answer.field(name) == value, "\(what): \(name)") }
        #expect(answer.field("content-security-policy")?.hasPrefix("default-src 'none'") == true, "\(what)")
        #expect(answer.field("x-request-id")?.isEmpty == false, "\(what): x-request-id")
        #expect(answer.field("access-control-allow-origin") == nil, "\(what): no CORS")
        #expect(answer.field("server") == nil, "\(what): the server does not name itself")
    }

    private func expectError(
        _ answer: Answer, _ status: Int, _ code: String, _ words: String = "", _ what: String
    ) throws {
        #expect(answer.status == status, "\(what): \(answer.text)")
        #expect(try answer.code == code, "\(what): \(answer.text)")
        #expect(try words.isEmpty || answer.message.contains(words), "\(what): \(answer.text)")
        #expect(
            try answer.at("error", "request_id") == .string(answer.field("x-request-id") ?? ""), "\(what)")
        #expect(
            try JSONNode(parsing: answer.body).field("error").object().keys == [
                "message", "type", "code", "param", "request_id", "metadata",
            ], "\(what)")
        expectHeaders(answer, what)
    }

    @Test("every route answers, and every answer carries the headers")
    func everyRoute() async throws {
        try await Served.run { served in
            for route in Route.all {
                let path = route.path.replacing("{...}", with: "acme").replacing("{}", with: "starter")
                let answer = try await served.send(
                    route.method.rawValue, path, body: route.method == .get ? nil : "{}")
                #expect(![405, 500].contains(answer.status), "\(path): \(answer.text)")
                expectHeaders(answer, "\(route.method) \(path)")
                if route.method == .get {
                    let head = try await served.send("HEAD", path)
                    // A 404 of the receipts waits for the history, so it may say another lag.
                    #expect(head.status == answer.status, "HEAD \(path)")
                    #expect(head.body.isEmpty, "HEAD \(path)")
                    #expect(head.field("content-length") != nil, "HEAD \(path)")
                    expectHeaders(head, "HEAD \(path)")
                }
            }
        }
    }

    @Test("what is asked wrongly is refused in one shape")
    func refusals() async throws {
        try await Served.run { served in
            try expectError(try await served.get("/"), 404, "NOT_FOUND", "nothing at /", "root")
            try expectError(try await served.get("/healthz/"), 404, "NOT_FOUND", "", "trailing slash")
            try expectError(try await served.get("/../etc/passwd"), 404, "NOT_FOUND", "", "dots")
            try expectError(
                try await served.get("/api/v1/pricing/rules/platform/a/b"), 404, "NOT_FOUND", "",
                "two segments")
            try expectError(
                try await served.get("/healthz?a=1"), 400, "INVALID_ARGUMENT", "\"a\" is not known", "unknown"
            )
            try expectError(
                try await served.get("/api/v1/credits/balance?user_id=a&user_id=b"), 400, "INVALID_ARGUMENT",
                "twice", "parameter twice")
            try expectError(
                try await served.get("/api/v1/credits/balance?user_id=%zz"), 400, "INVALID_ARGUMENT",
                "hexadecimal", "percent")
            try expectError(
                try await served.get("/api/v1/credits/balance?user_id=%ff"), 400, "INVALID_ARGUMENT", "UTF-8",
                "not UTF-8")
            try expectError(
                try await served.get("/api/v1/credits/balance?user_id=a%00b"), 400, "INVALID_ARGUMENT",
                "byte 1 is 0x0", "a zero byte")
            try expectError(
                try await served.get("/api/v1/credits/balance"), 400, "INVALID_ARGUMENT",
                "user_id is missing",
                "no account")
            for method in ["DELETE", "OPTIONS", "TRACE", "PROPFIND"] {
                let answer = try await served.send(method, "/api/v1/credits/allocate")
                try expectError(answer, 405, "METHOD_NOT_ALLOWED", "use POST", method)
                #expect(answer.field("allow") == "POST", "\(method)")
            }
            let wrong = try await served.send("POST", "/metrics", body: "{}")
            try expectError(wrong, 405, "METHOD_NOT_ALLOWED", "", "POST /metrics")
            #expect(wrong.field("allow") == "GET, HEAD")
            let overridden = try await served.send(
                "GET", "/api/v1/credits/allocate", ["X-HTTP-Method-Override: POST"])
            try expectError(overridden, 405, "METHOD_NOT_ALLOWED", "", "method override")
        }
    }

    @Test("a body that is not JSON, too long or of another type is refused before anything happens")
    func bodies() async throws {
        try await Served.run { served in
            let path = "/api/v1/credits/allocate"
            for type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp"] {
                let answer = try await served.send(
                    "POST", path, ["Content-Type: \(type)"], body: "{\"user_id\":\"a\"}")
                try expectError(answer, 415, "UNSUPPORTED_MEDIA_TYPE", type, type)
            }
            let untyped = try await served.raw(
                "POST \(path) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
            )
            try expectError(untyped, 415, "UNSUPPORTED_MEDIA_TYPE", "no content-type", "no type")
            let long = String(repeating: " ", count: AdminLimits.bodyBytesMax + 1)
            try expectError(
                try await served.post(path, long), 413, "PAYLOAD_TOO_LARGE", "1048576", "too long")
            let chunk = String(repeating: " ", count: 0x20000)
            let chunked =
                "POST \(path) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                + "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
                + String(repeating: "20000\r\n\(chunk)\r\n", count: 9) + "0\r\n\r\n"
            try expectError(
                try await served.raw(chunked), 413, "PAYLOAD_TOO_LARGE", "", "too long, in chunks")

            let malformed = try await served.post(path, "{\n  \"user_id\": ,\n}")
            try expectError(malformed, 400, "INVALID_ARGUMENT", "line 2, column 14", "malformed")
            #expect(try malformed.at("error", "metadata", "line") == 2)
            #expect(try malformed.at("error", "metadata", "column") == 14)
            try expectError(try await served.post(path, ""), 400, "INVALID_ARGUMENT", "ends", "empty")
            try expectError(
                try await served.post(path, "{\"amount\":\"1\",\"amount\":\"2\"}"), 400, "INVALID_ARGUMENT",
                "\"amount\" is there twice", "key twice")
            let deep = String(repeating: "[", count: 40) + String(repeating: "]", count: 40)
            try expectError(
                try await served.post(path, "{\"metadata\":\(deep)}"), 400, "INVALID_ARGUMENT",
                "deeper than 32",
                "deep")
            let unknown = try await served.post(
                path, "{\"user_id\":\"a\",\"ammount\":\"1\",\"source\":\"x\"}")
            try expectError(unknown, 400, "INVALID_ARGUMENT", "`ammount` is not known", "unknown member")
            #expect(try unknown.at("error", "param") == "ammount")
            let charset = try await served.send(
                "POST", path, ["Content-Type: application/json; charset=utf-8"], body: "{}")
            try expectError(charset, 400, "INVALID_ARGUMENT", "`user_id` is missing", "charset is fine")
        }
    }

    @Test("another name, another site or another origin is refused; programs and this site are not")
    func origins() async throws {
        try await Served.run { served in
            for host in [
                "evil.example", "127.0.0.1.evil.example", "localhost.evil.example:4771", "10.0.0.1", "[::2]",
            ] {
                let answer = try await served.send("GET", "/healthz", host: host)
                try expectError(answer, 403, "PERMISSION_DENIED", "no name of this server", host)
            }
            for host in ["localhost", "LOCALHOST:80", "127.0.0.1", "127.9.9.9:1", "[::1]:4771"] {
                let answer = try await served.send("GET", "/healthz", host: host)
                #expect(answer.status == 200, "\(host): \(answer.text)")
            }
            let refused = [
                "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site", "Origin: https://evil.example",
                "Origin: null", "Origin: http://localhost:1",
            ]
            for field in refused {
                let answer = try await served.post("/api/v1/accounts", "{\"account\":\"a\"}", [field])
                try expectError(answer, 403, "PERMISSION_DENIED", "another site", field)
            }
            for field in [
                "Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: none",
                "Origin: http://127.0.0.1:\(served.port)",
            ] {
                let answer = try await served.get("/healthz", [field])
                #expect(answer.status == 200, "\(field): \(answer.text)")
            }
        }
    }

    @Test("bytes that are no request are answered once, with 400, and the connection ends")
    func rawBytes() async throws {
        try await Served.run { served in
            let head = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
            let post =
                "POST /api/v1/accounts HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            let requests: [(String, String)] = [
                ("not HTTP", "\u{16}\u{3}\u{1}hello\r\n\r\n"),
                ("two lengths", post + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
                (
                    "length and chunks",
                    post + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                ),
                ("a space before the colon", head + "X-A : 1\r\n\r\n"),
                ("a folded header", head + "X-A: 1\r\n 2\r\n\r\n"),
                ("a negative length", post + "Content-Length: -1\r\n\r\n"),
                ("a bad chunk", post + "Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n"),
                ("a head of 1 MiB", head + "X-A: \(String(repeating: "a", count: 1 << 20))\r\n\r\n"),
                ("10 000 fields", head + String(repeating: "X-A: 1\r\n", count: 10_000) + "\r\n"),
            ]
            for (what, bytes) in requests {
                let answer = try await served.raw(bytes)
                try expectError(answer, 400, "INVALID_ARGUMENT", "", what)
                #expect(answer.field("connection") == "close", "\(what)")
                #expect(!answer.text.contains("HTTP/1.1 400"), "\(what): one answer only")
            }
            let noHost = try await served.raw("GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n")
            try expectError(noHost, 400, "INVALID_ARGUMENT", "Host", "no host")
            let twoHosts = try await served.raw(head + "Host: evil.example\r\nConnection: close\r\n\r\n")
            try expectError(twoHosts, 400, "INVALID_ARGUMENT", "Host", "two hosts")
            let absolute = try await served.raw(
                "GET http://evil.example/nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            try expectError(absolute, 404, "NOT_FOUND", "", "absolute form")
            #expect(try await served.get("/healthz").status == 200, "and it still serves")
        }
    }

    @Test("a client's request id is given back if it is harmless")
    func requestIDs() async throws {
        try await Served.run { served in
            let own = try await served.get("/healthz", ["X-Request-ID: trace-7.a_b:c"])
            #expect(own.field("x-request-id") == "trace-7.a_b:c")
            let odd = try await served.get("/nothing", ["X-Request-ID: <script>"])
            #expect(odd.field("x-request-id")?.hasPrefix("req_") == true)
            #expect(odd.field("x-request-id")?.utf8.count == 36)
        }
    }

    @Test(
        "it does not listen where other machines reach it",
        arguments: ["0.0.0.0", "::", "192.168.1.2", "example.org", ""])
    func loopbackOnly(host: String) {
        #expect(!HostNames.isLoopback(host))
        #expect(AdminError.notLoopback(host: host).description.contains("127.0.0.1"))
    }

    @Test(
        "loopback has many spellings", arguments: ["127.0.0.1", "127.1.2.3", "::1", "localhost", "LocalHost"])
    func loopback(host: String) { #expect(HostNames.isLoopback(host)) }

    @Test("starting on an address that others reach, or a port in use, is an error")
    func startErrors() async throws {
        try await Served.run { served in
            let status = AdminStatus(version: "1", connections: { ConnectionFigures(open: 0) })
            await #expect(throws: AdminError.notLoopback(host: "0.0.0.0")) {
                _ = try await AdminServer.start(
                    served.gateway, settings: AdminSettings(host: "0.0.0.0", port: 0), status: status,
                    logger: served.gateway.testLogger)
            }
            await #expect(throws: (any Error).self) {
                _ = try await AdminServer.start(
                    served.gateway, settings: AdminSettings(port: served.port), status: status,
                    logger: served.gateway.testLogger)
            }
        }
    }

    @Test("a path fits its placeholder and nothing more")
    func placeholders() throws {
        let one = Route(.get, "/a/{}", .account)
        let all = Route(.get, "/a/{...}", .account)
        let none = Route(.get, "/a", .account)
        #expect(one.place(in: "/a/b") == "b")
        #expect(one.place(in: "/a/b/c") == nil)
        #expect(one.place(in: "/a/") == nil)
        #expect(all.place(in: "/a/b/c") == "b/c")
        #expect(all.place(in: "/a/") == nil)
        #expect(all.place(in: "/a") == nil)
        #expect(none.place(in: "/a") == "")
        #expect(none.place(in: "/a/") == nil)
        #expect(Set(Route.all.map(\.endpoint)) == Set(Endpoint.allCases), "every endpoint has a route")
    }
}
