// Credit from a CSV file: the guide's example, and every file and row that is refused. A file gives once.

import CSV
import Gateway
import StrictJSON
import Testing

@testable import Admin

@Suite("bulk allocation", .serialized)
struct BulkTests {
    private static let path = "/api/v1/credits/bulk"
    private static let guide = """
        user_id,amount,source,reason
        user_001,500,promo_2025_q1,New Year promotion
        user_002,500,promo_2025_q1,New Year promotion
        user_003,500,promo_2025_q1,New Year promotion

        """

    private func upload(_ served: Served, _ target: String, _ file: String) async throws -> Answer {
        try await served.post(target, file, ["Content-Type: text/csv"])
    }

    private func string(_ value: JSONValue) throws -> String {
        guard case .string(let text) = value else {
            Issue.record("not a text: \(value)")
            return ""
        }
        return text
    }

    private func balance(_ served: Served, _ account: String) async throws -> JSONValue {
        try await served.get("/api/v1/credits/balance?account=\(account)").at("balance")
    }

    @Test("the guide's example: preview, confirm by digest, a result for each row, and nothing twice")
    func guide() async throws {
        try await Served.run { served in
            for user in ["user_001", "user_003"] { try await served.open(user) }
            let preview = try await upload(served, Self.path + "/preview", Self.guide)
            #expect(preview.status == 200, "\(preview.text)")
            #expect(try preview.at("rows") == 3)
            #expect(try preview.at("users") == 3)
            #expect(try preview.at("good_rows") == 2)
            #expect(try preview.at("credits") == "1000.00")
            #expect(try preview.at("cost_usd") == "1.00")
            #expect(try preview.at("bad_row_count") == 1)
            #expect(try preview.at("bad_rows", "0", "line") == 3)
            #expect(try preview.at("bad_rows", "0", "code") == "ACCOUNT_NOT_FOUND")
            #expect(try await balance(served, "user_001") == "0.00", "a preview gives nothing")
            let digest = try string(preview.at("digest"))
            let confirm = "{\"digest\":\"\(digest)\",\"by\":\"ann\"}"
            let given = try await served.post(Self.path + "/confirm", confirm)
            #expect(given.status == 200, "\(given.text)")
            #expect(try given.at("counts") == ["allocated": 2, "allocated_before": 0, "refused": 1])
            #expect(try given.at("results", "0", "result") == "allocated")
            #expect(try given.at("results", "0", "balance") == "500.00")
            #expect(try given.at("results", "1", "result") == "refused")
            #expect(try given.at("results", "1", "line") == 3)
            // The account is opened, the day is another, and the file comes again: only what was missing is given.
            try await served.open("user_002")
            served.clock.advance(days: 2)
            let again = try await upload(served, Self.path + "?digest=\(digest)", Self.guide)
            #expect(again.status == 200, "\(again.text)")
            #expect(try again.at("counts") == ["allocated": 1, "allocated_before": 2, "refused": 0])
            for user in ["user_001", "user_002", "user_003"] {
                #expect(try await balance(served, user) == "500.00")
            }
            try await served.gateway.waitForHistory()
            let page = try await served.get("/api/v1/credits/transactions?account=user_001&type=allocated")
            #expect(try page.at("transactions", "0", "source") == "promo_2025_q1")
            #expect(try page.at("transactions", "0", "reason") == "New Year promotion")
            #expect(try page.at("transactions", "0", "by") == "ann")
            #expect(try page.at("transactions", "0", "metadata", "line") == 2)
            #expect(try page.at("transactions", "0", "kind") == "promo")
        }
    }

    @Test("a slice of a longer file counts its lines from where it begins, and shares the keys of the whole")
    func slices() async throws {
        try await Served.run { served in
            try await served.open("acme")
            let digest = String(repeating: "ab", count: 32)
            let slice = "user_id,amount,source,reason\nacme,5,gift,x\nnobody,5,gift,x\n"
            let target = Self.path + "?digest=\(digest)&first_line=1000"
            let answer = try await upload(served, target, slice)
            #expect(try answer.at("results", "0", "line") == 1_000)
            #expect(try answer.at("results", "1", "line") == 1_001)
            #expect(try await upload(served, target, slice).at("counts", "allocated_before") == 1)
            #expect(try await balance(served, "acme") == "5.00")
            for bad in [
                "?digest=\(digest)", "?first_line=5", "", "?digest=xyz&first_line=7",
                "?digest=\(digest)&first_line=1",
            ] {
                let refused = try await upload(served, Self.path + bad, slice)
                #expect(refused.status == 400, "\(bad): \(refused.text)")
            }
        }
    }

    @Test("a file that cannot be read is refused as a whole, with its line")
    func badFiles() async throws {
        try await Served.run { served in
            try await served.open("acme")
            let good = "acme,5,gift,x\n"
            let header = "user_id,amount,source,reason\n"
            let rows: [(String, Int, String)] = [
                ("", 1, "is empty"), ("user_id,amount,reason\n" + good, 1, "no column source"),
                ("user_id,amount,source,colour\n" + good, 1, "\"colour\""),
                ("user_id,amount,source,source\n" + good, 1, "twice"),
                (header + good + "acme,5,gift\n", 3, "3 fields"),
                (header + good + "acme,5,gift,x,y\n", 3, "5 fields"),
                (header + good + "acme,5", 3, "2 fields"),
                (header + good + "acme,5,gift,\"never closed\n" + good, 3, "never closed"),
                (header + good + "acme,5,gift,\"x\"y\n", 3, "closing quote"),
                (header + good + "acme,5,gift,\(String(repeating: "x", count: 10 << 20))\n", 3, "bytes"),
            ]
            for (file, line, words) in rows {
                for target in [
                    Self.path + "/preview", Self.path + "?digest=\(SHA256.hexadecimal(Array(file.utf8)))",
                ] {
                    let answer = try await upload(served, target, file)
                    #expect(answer.status == 400, "\(words): \(answer.text.prefix(300))")
                    #expect(try answer.at("error", "metadata", "line") == .number("\(line)"), "\(words)")
                    #expect(try answer.message.contains(words), "\(words): \(answer.text.prefix(300))")
                }
            }
            #expect(try await balance(served, "acme") == "0.00", "nothing of a file that is refused is given")
        }
    }

    @Test("an upload that is cut off gives nothing")
    func cutUpload() async throws {
        try await Served.run { served in
            try await served.open("acme")
            let file = "user_id,amount,source,reason\nacme,5,gift,x\n"
            let digest = SHA256.hexadecimal(Array(file.utf8))
            let head =
                "POST \(Self.path)?digest=\(digest) HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/csv\r\n"
                + "Content-Length: \(file.utf8.count)\r\n\r\n"
            await #expect(throws: (any Error).self) {
                // What comes is no answer: the connection ends.
                _ = try await served.cut(head + file.dropLast(10))
            }
            #expect(try await balance(served, "acme") == "0.00")
        }
    }

    @Test("a bad row is named with its line and reason, and the others are given")
    func badRows() async throws {
        try await Served.run { served in
            try await served.open("acme")
            try await served.open("gone")
            _ = try await served.post("/api/v1/accounts/gone/close", "{}")
            let rows: [(String, String, String)] = [
                ("acme,0,gift,x", "INVALID_ARGUMENT", "amount"),
                ("acme,-5,gift,x", "INVALID_ARGUMENT", "amount"),
                ("acme,1e3,gift,x", "INVALID_ARGUMENT", "amount"),
                ("acme,,gift,x", "INVALID_ARGUMENT", "amount"),
                ("acme,99999999999999999999,gift,x", "INVALID_ARGUMENT", "amount"),
                ("acme,=1+1,gift,x", "INVALID_ARGUMENT", "amount"),
                ("acme,\" 5\",gift,x", "INVALID_ARGUMENT", "amount"),
                ("nobody,5,gift,x", "ACCOUNT_NOT_FOUND", "user_id"),
                ("gone,5,gift,x", "ACCOUNT_CLOSED", "user_id"),
                ("a b,5,gift,x", "INVALID_ARGUMENT", "user_id"), (",5,gift,x", "INVALID_ARGUMENT", "user_id"),
                ("acme,5,,x", "INVALID_ARGUMENT", "source"),
                ("acme,5,gift,\(String(repeating: "x", count: 2_000))", "INVALID_ARGUMENT", "reason"),
            ]
            let file =
                "\u{feff}user_id,amount,source,reason\r\n" + rows.map { $0.0 + "\r\n" }.joined()
                + "acme,5.25,gift,\"=HYPERLINK(\"\"x\"\"),\ntwo lines\"\r\n"
            let preview = try await upload(served, Self.path + "/preview", file)
            #expect(try preview.at("bad_row_count") == .number("\(rows.count)"), "\(preview.text)")
            #expect(try preview.at("credits") == "5.25")
            let digest = try string(preview.at("digest"))
            let given = try await served.post(Self.path + "/confirm", "{\"digest\":\"\(digest)\"}")
            for (index, row) in rows.enumerated() {
                for (list, answer) in [("bad_rows", preview), ("results", given)] {
                    #expect(try answer.at(list, "\(index)", "line") == .number("\(index + 2)"), "\(row)")
                    #expect(
                        try answer.at(list, "\(index)", "code") == .string(row.1), "\(row): \(answer.text)")
                    #expect(
                        try answer.at(list, "\(index)", "param") == .string(row.2), "\(row): \(answer.text)")
                }
            }
            #expect(try await balance(served, "acme") == "5.25")
            try await served.gateway.waitForHistory()
            let page = try await served.get("/api/v1/credits/transactions?account=acme&type=allocated")
            #expect(try page.at("transactions", "0", "reason") == "=HYPERLINK(\"x\"),\ntwo lines")
        }
    }

    @Test("only a digest that was previewed is confirmed, and only CSV is a file")
    func digests() async throws {
        try await Served.run { served in
            let unknown = try await served.post(Self.path + "/confirm", "{\"digest\":\"00\"}")
            #expect(unknown.status == 404)
            #expect(try unknown.code == "PREVIEW_NOT_FOUND")
            let json = try await served.post(Self.path + "/preview", "{}")
            #expect(json.status == 415)
            #expect(try json.message.contains("text/csv"))
        }
    }
}
