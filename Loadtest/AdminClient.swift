// Accounts and credits for a run, made through the gateway's HTTP API.
//
// One request opens up to a thousand accounts. The client is as small as that needs: HTTP/1.1, one
// connection a request, `Connection: close`, the answer read to its end.

import Bytes
import Wire

/// Talks to the administration API.
struct AdminClient: Sendable {
    private let host: String
    private let port: Int
    private let token: String?

    /// - Parameter url: `http://host:port`.
    init(url: String, token: String?) throws(LoadError) {
        let scheme = "http://"
        guard url.hasPrefix(scheme) else { throw .url(url) }
        var authority = url.dropFirst(scheme.count)
        if authority.hasSuffix("/") { authority = authority.dropLast() }
        guard let colon = authority.lastIndex(of: ":"),
            let port = Int(authority[authority.index(after: colon)...]),
            (1...65_535).contains(port), colon > authority.startIndex
        else { throw .url(url) }
        host = String(authority[..<colon])
        self.port = port
        self.token = token
    }

    /// Opens the accounts of a workload and those above them, each with a wallet and a tier.
    ///
    /// - Parameters:
    ///   - credits: the amount granted to each that records are for, in credits; those above have none.
    ///   - progress: called with how many that records are for are open.
    func openAccounts(
        of workload: Workload, tier: String, credits: String, progress: (Int) -> Void
    ) throws(LoadError) {
        var next = 0
        while next < workload.plan.accounts {
            let end = min(next + LoadLimits.accountsPerRequest, workload.plan.accounts)
            for level in 1...workload.plan.levels {
                let amount =
                    level == workload.plan.levels ? ",\"amount\":\(JSONText.quoted(credits))" : ""
                let rows = (next..<end).map { index in
                    "{\"account\":\(JSONText.quoted(workload.accountName(UInt32(index), level: level))),"
                        + "\"tier\":\(JSONText.quoted(tier))\(amount)}"
                }
                try send("POST", "/api/v1/accounts", "{\"accounts\":[\(rows.joined(separator: ","))]}")
            }
            next = end
            progress(next)
        }
    }

    /// Sets a budget at each level of the accounts of a workload, per day and larger than any run: of cost at the
    /// first level, of tokens at the second, of requests at the third, and so on.
    ///
    /// - Parameter progress: called with how many accounts that records are for have theirs.
    func setBudgets(of workload: Workload, progress: (Int) -> Void) throws(LoadError) {
        let kinds = [
            ("cost", "\"900000000\""), ("tokens", "900000000000000"), ("requests", "900000000000000"),
        ]
        for index in 0..<workload.plan.accounts {
            for level in 1...workload.plan.levels {
                let (metric, limit) = kinds[(level - 1) % kinds.count]
                try send(
                    "PUT", "/api/v1/budgets",
                    "{\"user_id\":\(JSONText.quoted(workload.accountName(UInt32(index), level: level))),"
                        + "\"name\":\"load\",\"window\":\"day\",\"metric\":\"\(metric)\",\"limit\":\(limit),"
                        + "\"hard\":true,\"by\":\"loadtest\",\"reason\":\"a load with budgets\"}")
            }
            progress(index + 1)
        }
    }

    private func send(_ method: String, _ path: String, _ body: String) throws(LoadError) {
        let request = "\(method) \(path)"
        var head = "\(request) HTTP/1.1\r\nHost: \(host):\(port)\r\nConnection: close\r\n"
        head += "Content-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\n"
        if let token { head += "Authorization: Bearer \(token)\r\n" }
        let socket = try Socket(host: host, port: port)
        try Array((head + "\r\n" + body).utf8).withView { (view) throws(LoadError) in
            guard try socket.write(view, waits: true) == .bytes(view.count) else {
                throw .disconnected(peer: socket.peer)
            }
        }
        let received = ByteQueue(capacity: 65_536)
        reading: while received.count < WireLimits.messageBytesMax {
            let room = unsafe received.roomBuffer(4_096)
            switch try unsafe socket.read(into: room, waits: true) {
            case .bytes(let count): received.commit(count)
            case .ended, .wouldBlock: break reading
            }
        }
        try AdminClient.check(Array(received.view), request: request)
    }

    /// Throws unless `answer` is an HTTP answer with a status of success.
    static func check(_ answer: [UInt8], request: String) throws(LoadError) {
        let text = String(decoding: answer.prefix(4_096), as: UTF8.self)
        let words = text.prefix { !$0.isNewline }.split(separator: " ")
        guard words.count >= 2, words[0].hasPrefix("HTTP/1."), let status = Int(words[1]) else {
            throw .httpUnreadable(request: request, found: String(text.prefix(80)))
        }
        guard (200...299).contains(status) else {
            // Swift takes CR LF for one character, so the head ends at two of them.
            let body = text.firstRange(of: "\r\n\r\n").map { text[$0.upperBound...] } ?? ""
            throw .http(request: request, status: status, body: String(body.prefix(500)))
        }
    }
}

/// Text for JSON.
enum JSONText {
    /// A string literal. Source: RFC 8259, section 7.
    static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}
