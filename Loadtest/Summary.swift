// What a run tells at its end: a few lines for a person, or one JSON object for a script.

import Histogram

/// The outcome of a run.
struct Summary: Sendable {
    let plan: LoadPlan
    var books: Books
    var latency: Histogram<UInt64>
    var sent: Int
    var measured: Int
    var measuredNanoseconds: UInt64
    var reconnects: Int
    var failure: LoadError?
    /// Nil if the run was not validated, or could not be.
    var conservation: Conservation?

    /// Whether everything that was promised held.
    var isGood: Bool {
        failure == nil && books.contradictions == 0 && books.unanswered == 0
            && (!plan.isValidated || conservation?.holds == true)
    }

    /// Answers each second, after the warm-up: to records, and to quotes and holds where there are any.
    var rate: Int {
        measuredNanoseconds == 0 ? 0 : Int(Double(measured) * 1e9 / Double(measuredNanoseconds))
    }

    /// The lines for a person.
    var lines: [String] {
        var lines = [
            "answered \(Number.grouped(books.answered))   duplicates \(Number.grouped(books.duplicates))   "
                + "parked \(Number.grouped(books.parked))   refused \(Number.grouped(books.refusedCount))   "
                + "failed \(Number.grouped(books.unanswered))",
            "\(Number.grouped(rate)) \(books.holds + books.quotes > 0 ? "answers" : "records")/s over "
                + Number.seconds(measuredNanoseconds),
            "latency from \(plan.rate == nil ? "send" : "intended send")   "
                + [("p50", 50.0), ("p99", 99), ("p99.9", 99.9)].map {
                    "\($0) \(Number.milliseconds(latency.valueAtPercentile($1)))"
                }.joined(separator: "   ")
                + "   max \(Number.milliseconds(latency.max))",
        ]
        if books.holds > 0 {
            lines.append("\(Number.grouped(books.holds)) of the answers are holds, each settled after")
        }
        if books.quotes > 0 { lines.append("\(Number.grouped(books.quotes)) of the answers are quotes") }
        for (reason, count) in books.refused.sorted(by: { $0.key < $1.key }) {
            lines.append("refused with \(reason): \(Number.grouped(count))")
        }
        if reconnects > 0 { lines.append("connected again \(Number.grouped(reconnects)) times") }
        if books.contradictions > 0 {
            lines.append(
                "\(Number.grouped(books.contradictions)) answers contradict each other, the first: "
                    + (books.firstContradiction ?? ""))
        }
        if let failure { lines.append("stopped: \(failure)") }
        if let conservation {
            let word = conservation.holds ? "books balance" : "BOOKS DO NOT BALANCE"
            lines.append(
                "\(word), in nanocredits: opening \(Number.grouped(conservation.opening)) "
                    + "\(conservation.holds ? "=" : "is not") balances "
                    + "\(Number.grouped(conservation.balances)) + charges "
                    + "\(Number.grouped(conservation.charges))")
            if conservation.differing > 0 {
                lines.append("\(Number.grouped(conservation.differing)) accounts differ, the first:")
                lines += conservation.firstDifferences.map { "  \($0)" }
            }
        } else if plan.isValidated {
            lines.append(
                "the books could not be compared: records without an answer may or may not be charged")
        }
        return lines
    }

    /// The same as one JSON object. Latencies are in microseconds, amounts decimal strings.
    var json: String {
        let percentiles = [("p50", 50.0), ("p90", 90), ("p99", 99), ("p999", 99.9), ("p9999", 99.99)]
        var latencies = percentiles.map { "\"\($0)\":\(latency.valueAtPercentile($1) / 1_000)" }
        latencies.append("\"max\":\(latency.max / 1_000)")
        let refused = books.refused.sorted { $0.key < $1.key }
            .map { "\(JSONText.quoted($0.key)):\($0.value)" }
        var fields = [
            "\"connections\":\(plan.connections)", "\"in_flight\":\(plan.inFlight)",
            "\"batch_size\":\(plan.batchSize)", "\"accounts\":\(plan.workload.accounts)",
            "\"seed\":\(plan.workload.seed)", "\"rate\":\(plan.rate.map(String.init) ?? "null")",
            "\"sent\":\(sent)", "\"answered\":\(books.answered)", "\"charged\":\(books.charged)",
            "\"parked\":\(books.parked)", "\"duplicates\":\(books.duplicates)", "\"quotes\":\(books.quotes)",
            "\"holds\":\(books.holds)",
            "\"refused\":{\(refused.joined(separator: ","))}", "\"failed\":\(books.unanswered)",
            "\"contradictions\":\(books.contradictions)", "\"reconnects\":\(reconnects)",
            "\"measured\":\(measured)", "\"measured_us\":\(measuredNanoseconds / 1_000)",
            "\"records_per_second\":\(rate)", "\"latency_us\":{\(latencies.joined(separator: ","))}",
        ]
        if let conservation {
            fields.append(
                "\"books\":{\"balance\":\(conservation.holds),\"opening\":\"\(conservation.opening)\","
                    + "\"balances\":\"\(conservation.balances)\",\"charges\":\"\(conservation.charges)\","
                    + "\"accounts_differing\":\(conservation.differing)}")
        }
        if let failure { fields.append("\"failure\":\(JSONText.quoted("\(failure)"))") }
        fields.append("\"good\":\(isGood)")
        return "{\(fields.joined(separator: ","))}"
    }
}

/// Numbers for people.
enum Number {
    /// Groups of three digits with spaces between.
    static func grouped(_ value: some BinaryInteger) -> String {
        let digits = String(value.magnitude)
        var grouped = ""
        for (index, digit) in digits.enumerated() {
            if index > 0 && (digits.count - index) % 3 == 0 { grouped += " " }
            grouped.append(digit)
        }
        return value < 0 ? "-\(grouped)" : grouped
    }

    /// Nanoseconds as milliseconds, two digits more than the whole ones below ten.
    static func milliseconds(_ nanoseconds: UInt64) -> String {
        let microseconds = nanoseconds / 1_000
        if microseconds >= 10_000 { return "\(microseconds / 1_000) ms" }
        let hundredths = microseconds / 10 % 100
        return "\(microseconds / 1_000).\(hundredths < 10 ? "0" : "")\(hundredths) ms"
    }

    /// Nanoseconds as seconds with a tenth.
    static func seconds(_ nanoseconds: UInt64) -> String {
        "\(nanoseconds / 1_000_000_000).\(nanoseconds / 100_000_000 % 10) s"
    }
}
