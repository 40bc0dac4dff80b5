// What is read: rules in the guide's words, receipts that agree, figures that Prometheus can parse.

import StrictJSON
import Testing

@testable import Admin

@Suite("reading over HTTP", .serialized)
struct ReadingTests {
    @Test("rules are listed whole, in the guide's shape")
    func rules() async throws {
        try await Served.run { served in
            let byok = try await served.get("/api/v1/pricing/rules/byok")
            #expect(try byok.json.keys == ["rules", "total"])
            #expect(try byok.at("total") == 2)
            let members = [
                "id", "provider", "rule_type", "markup_type", "markup_value", "min_charge",
                "free_credits_monthly", "applies_to_tiers", "rule_name", "description", "priority",
                "is_active", "created_at",
            ]
            for member in members { #expect(try byok.at("rules", "0", member) != .null, "\(member)") }
            #expect(try byok.at("rules", "0", "provider") == "openrouter")
            #expect(try byok.at("rules", "0", "markup_value") == "0.05")
            let id = try JSONNode(parsing: byok.body).field("rules").array()[0].field("id").string()
            let one = try await served.get("/api/v1/pricing/rules/byok/\(id)")
            #expect(try one.at("free_credits_monthly") == "5.00")
            let filtered = try await served.get(
                "/api/v1/pricing/rules/byok?provider=HuggingFace&is_active=true")
            #expect(try filtered.at("total") == 1)
            #expect(try await served.get("/api/v1/pricing/rules/byok?is_active=false").at("total") == 0)
            #expect(try await served.get("/api/v1/pricing/rules/byok?is_active=yes").status == 400)
            #expect(try await served.get("/api/v1/pricing/rules/byok/none").code == "RULE_NOT_FOUND")

            let platform = try await served.get("/api/v1/pricing/rules/platform")
            #expect(try platform.at("total") == 4)
            let professional = try await served.get("/api/v1/pricing/rules/platform/professional")
            #expect(try professional.at("tier_code") == "professional")
            #expect(try professional.at("markup_value") == "1.60")
            #expect(try professional.at("markup_type") == "multiplier")
            #expect(try professional.at("provider_overrides", "openrouter", "markup_value") == "1.50")
            #expect(try professional.at("is_active") == true)
            #expect(try await served.get("/api/v1/pricing/rules/platform?provider=openai").at("total") == 1)
            let gold = try await served.get("/api/v1/pricing/rules/platform/gold")
            #expect(gold.status == 404)
        }
    }

    @Test(
        "a receipt recomputes its charge to the last digit, and one that is not there says how far history is"
    )
    func receipts() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "100")
            let id = "chat/01 ä"
            await served.report(id, account: "acme", tokens: 12_345)
            await served.report("parked", account: "acme", model: "no-such-model")
            let receipt = try await served.get("/api/v1/receipts/chat%2F01%20%C3%A4")
            #expect(receipt.status == 200, "\(receipt.text)")
            #expect(try receipt.at("request_id") == .string(id))
            #expect(try receipt.at("agrees") == true, "\(receipt.text)")
            #expect(try receipt.at("charge") == "59.256", "12 345 × 3 USD per million × 1.60")
            #expect(try receipt.at("base_cost_usd") == "0.037035")
            #expect(try receipt.at("balance_after") == "40.744")
            #expect(try receipt.at("explanation", "rule", "markup_value") == "1.60")
            #expect(try receipt.at("explanation", "lines", "0", "quantity") == 12_345)
            #expect(try receipt.at("explanation", "lines", "0", "usd_per_unit") == "0.000003")
            #expect(receipt.text.contains("12345 × 3"), "\(receipt.text)")
            let slashed = try await served.get("/api/v1/receipts/chat/01%20%C3%A4?organisation=acme")
            #expect(slashed.status == 200, "slashes need no encoding")
            let parked = try await served.get("/api/v1/receipts/parked")
            #expect(try parked.at("state") == "parked", "\(parked.text)")
            #expect(try parked.at("agrees") == true)
            #expect(try parked.at("text", "0") == "parked: UNPRICED_MODEL, model")
            let none = try await served.get("/api/v1/receipts/none")
            #expect(none.status == 404)
            #expect(try none.code == "RECEIPT_NOT_FOUND")
            #expect(try none.message.contains("complete up to now"), "\(none.text)")
            #expect(try none.at("error", "metadata", "history_lag") == 0)
            let elsewhere = try await served.get("/api/v1/receipts/parked?organisation=other")
            #expect(elsewhere.status == 404)
        }
    }

    @Test("health says alive and ready, and not ready with the reason once it drains")
    func health() async throws {
        try await Served.run { served in
            for path in ["/healthz", "/readyz", "/health/liveliness", "/health/readiness", "/healthcheck"] {
                #expect(try await served.get(path).status == 200, "\(path)")
            }
            served.gateway.beginDrain()
            #expect(try await served.get("/healthz").status == 200, "alive all the same")
            let answer = try await served.get("/readyz")
            #expect(answer.status == 503)
            #expect(try answer.code == "NOT_READY")
            #expect(try answer.message.contains("draining"), "\(answer.text)")
            #expect(answer.field("retry-after") == "1")
        }
    }

    @Test("a gateway whose connections hold too much memory is not ready, and says why")
    func shortOfMemory() async throws {
        try await Served.run { served in
            var connections = Served.connections
            func reasons() -> [String] {
                AdminDesk.reasonsNotReady(served.gateway.figures(), connections, isReady: true)
            }
            #expect(reasons().isEmpty, "new connections wait, and reports are recorded")
            connections.refusesCalls = true
            #expect(reasons().count == 1 && reasons()[0].contains("transport.memory_bytes_max"))
        }
    }

    @Test("metrics are in the format that Prometheus reads, each with its help and type")
    func metrics() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "100")
            await served.report("one", account: "acme")
            _ = try await served.get("/api/v1/accounts/acme")
            let answer = try await served.get("/metrics")
            #expect(answer.field("content-type") == "text/plain; version=0.0.4; charset=utf-8")
            let samples = try Exposition(answer.text)
            #expect(samples.values["metering_usage_records_total{outcome=\"charged\"}"] == "1")
            #expect(samples.values["metering_charged_nanocredits_total{kind=\"platform\"}"] == "48000000000")
            #expect(samples.values["metering_build_info{version=\"1.2.3\"}"] == "1")
            #expect(samples.values["metering_connections"] == "7")
            #expect(samples.values["metering_connection_memory_bytes"] == "88")
            #expect(samples.values["metering_connection_memory_bytes_max"] == "100")
            #expect(samples.values["metering_overload_rung"] == "1")
            #expect(samples.values["metering_overload_accept_pauses_total"] == "2")
            #expect(samples.values["metering_overload_refused_calls_total"] == "3")
            #expect(samples.values["metering_overload_closed_connections_total"] == "4")
            #expect(samples.values["metering_accounts"] == "1")
            #expect(samples.values["metering_books_balance"] == "1")
            #expect(samples.values["metering_ready"] == "1")
            #expect(samples.values["metering_rejections_total{reason=\"OVERLOADED\"}"] == "0")
            let families = [
                "metering_usage_records_total", "metering_charged_nanocredits_total",
                "metering_rejections_total", "metering_duplicates_total", "metering_wal_fsync_seconds",
                "metering_wal_batch_records", "metering_wal_bytes_total", "metering_recovery_seconds",
                "metering_history_lag_entries", "metering_remembered_ids", "metering_checkpoints_total",
            ]
            for family in families { #expect(samples.types[family] != nil, "\(family)") }
            #expect(
                samples.values["metering_wal_fsync_seconds_bucket{le=\"+Inf\"}"]
                    == samples.values["metering_wal_fsync_seconds_count"])
        }
    }

    @Test("the status and the books are documents with exact totals")
    func status() async throws {
        try await Served.run { served in
            try await served.open("acme", amount: "100")
            await served.report("one", account: "acme")
            _ = try await served.get("/api/v1/accounts/acme")
            let status = try await served.get("/api/v1/status")
            #expect(try status.at("version") == "1.2.3")
            #expect(try status.at("ready") == true)
            #expect(try status.at("credit_value_usd") == "0.001")
            #expect(try status.at("figures", "reports", "charged") == 1)
            #expect(try status.at("figures", "connections") == 7)
            #expect(try status.at("recovery", "entries") == 0)
            let books = try await served.get("/api/v1/books")
            #expect(try books.at("opening") == "0")
            #expect(try books.at("granted") == "100000000000")
            #expect(try books.at("charged") == "48000000000")
            #expect(try books.at("balances") == "52000000000")
            #expect(try books.at("expired") == "0")
            #expect(try books.at("balance") == true)
        }
    }
}

/// The exposition format, read strictly: a sample belongs to the family announced above it.
private struct Exposition {
    var values: [String: String] = [:]
    var types: [String: String] = [:]

    struct Malformed: Error { var line: String }

    init(_ text: String) throws {
        var helped = ""
        var family = ""
        guard text.hasSuffix("\n") else { throw Malformed(line: "the last line does not end") }
        for line in text.split(separator: "\n").map(String.init) {
            let words = line.split(separator: " ", maxSplits: 3).map(String.init)
            if line.hasPrefix("# HELP "), words.count == 4 {
                helped = words[2]
            } else if line.hasPrefix("# TYPE "), words.count == 4, words[2] == helped {
                guard types[helped] == nil, ["counter", "gauge", "histogram"].contains(words[3]) else {
                    throw Malformed(line: line)
                }
                family = helped
                types[family] = words[3]
            } else if let space = line.lastIndex(of: " ") {
                let name = String(line[..<space])
                let value = String(line[line.index(after: space)...])
                let bare = String(name.prefix { $0 != "{" })
                let suffixes = types[family] == "histogram" ? ["_bucket", "_sum", "_count"] : [""]
                guard suffixes.contains(where: { bare == family + $0 }), values[name] == nil,
                    value.allSatisfy({ $0.isASCII && ($0.isNumber || $0 == "." || $0 == "-") }),
                    !value.isEmpty
                else { throw Malformed(line: line) }
                values[name] = value
            } else {
                throw Malformed(line: line)
            }
        }
    }
}
