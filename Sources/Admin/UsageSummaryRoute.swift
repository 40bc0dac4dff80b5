// What accounts used over a time: sums of requests, tokens and amounts, in groups.
//
//      GET /api/v1/usage/summary?account=&from=&to=&group_by=&limit=
//
//      {"groups": [{"day", "requests", "input_tokens", …, "charge"}], "total": {…}, "groups_left_out"}
//
// `from` and `to` are days in UTC, `to` is not among them; without them it is this month. `group_by` names
// what groups are told apart by, with commas: day or month, provider, model, credential_source, account.
// The answer is read from rollups, so a year takes milliseconds however many requests it had.

import Gateway
import Ledger
import Money
import Pricing
import Store
import StrictJSON

extension AdminDesk {
    /// `GET /api/v1/usage/summary`: of an account and those below it, or of all. Waits for the history to hold
    /// what was reported before, `AdminLimits.receiptWait` at the most.
    func usageSummary(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters(["account", "user_id", "from", "to", "group_by", "limit"])
        let account = try request.account()
        var question = UsageQuestion()
        question.account = account?.path
        let month = CalendarMonth(containing: gateway.now())
        let since = try request.day("from") ?? UsageDay(containing: month.start.microseconds)
        let until = try request.day("to") ?? UsageDay(containing: month.next.start.microseconds)
        guard since < until else {
            throw .badParameter(
                "to", found: request.parameter("to") ?? until.text,
                expected: "a day after from, which is \(since.text); to is the first day that is not wanted")
        }
        question.since = since
        question.until = until
        let groupings = try request.groupings()
        for grouping in groupings { question.group(by: grouping) }
        question.groupsMax =
            try request.integer("limit", in: 1...AdminLimits.usageGroupsMax) ?? AdminLimits.usageGroupsDefault
        try await catchUp()
        let (gateway, asked) = (gateway, question)
        let summary = try await reading { () throws(AdministrationError) in try gateway.usageSummary(asked) }
        if summary.groups.isEmpty, let account { _ = try await self.summary(of: account) }
        return Reply([
            "account": account.map { .string(String(decoding: $0.path, as: UTF8.self)) } ?? .null,
            "from": .string(since.text), "to": .string(until.text),
            "group_by": .array(groupings.map { .string($0.rawValue) }),
            "groups": .array(
                summary.groups.map { group in
                    var object = JSONObject()
                    for grouping in groupings { object[grouping.rawValue] = group.key.json(grouping) }
                    group.sums.add(to: &object)
                    return .object(object)
                }),
            "groups_left_out": .integer(summary.groupsLeftOut), "total": .object(summary.total.json),
            "history_lag": .integer(gateway.historyLag),
        ])
    }
}

extension AdminRequest {
    /// A day in UTC, or nil where it is missing.
    func day(_ name: String) throws(RequestProblem) -> UsageDay? {
        guard let instant = try instant(name) else { return nil }
        guard let day = UsageDay(start: instant) else {
            throw .badParameter(
                name, found: parameter(name) ?? "",
                expected: "a day in UTC such as 2026-11-01: usage is kept by days")
        }
        return day
    }

    /// What groups are told apart by; nothing without a wish.
    fileprivate func groupings() throws(RequestProblem) -> [UsageGrouping] {
        var groupings: [UsageGrouping] = []
        for word in (parameter("group_by") ?? "").split(separator: ",") {
            guard let grouping = UsageGrouping(rawValue: String(word)), !groupings.contains(grouping) else {
                throw .badParameter(
                    "group_by", found: parameter("group_by") ?? "",
                    expected: "with commas, each once: "
                        + UsageGrouping.allCases.map(\.rawValue).joined(separator: ", "))
            }
            groupings.append(grouping)
        }
        guard !(groupings.contains(.day) && groupings.contains(.month)) else {
            throw .badParameter(
                "group_by", found: parameter("group_by") ?? "", expected: "day or month, not both")
        }
        return groupings
    }
}

extension UsageDay {
    /// `2026-11-25`.
    var text: String { String(start.text.prefix(10)) }
}

extension UsageGroupKey {
    fileprivate func json(_ grouping: UsageGrouping) -> JSONValue {
        switch grouping {
        case .day: .string(UsageDay(number: period ?? 0).text)
        case .month:
            .string(String(CalendarMonth(count: Int32(clamping: period ?? 0)).start.text.prefix(7)))
        case .provider: .word(provider ?? "")
        case .model: .word(model ?? "")
        case .account: .word(account ?? "")
        case .credentialSource:
            switch credentialSource {
            case 1: "platform"
            case 2: "byok"
            default: .null
            }
        }
    }
}

extension UsageSums {
    /// Counts and exact amounts.
    var json: JSONObject {
        var object = JSONObject()
        add(to: &object)
        return object
    }

    fileprivate func add(to object: inout JSONObject) {
        object["requests"] = .integer(requests)
        object["input_tokens"] = .integer(inputTokens)
        object["cache_read_tokens"] = .integer(cacheReadTokens)
        object["output_tokens"] = .integer(outputTokens)
        object["base_cost_usd"] = .string(
            DecimalText.format(baseCostPicodollars, places: Picodollars.places, decimalsMin: 2))
        object["fee"] = .wideCredits(fee)
        object["allowance_used"] = .wideCredits(allowanceUsed)
        object["charge"] = .wideCredits(charge)
        object["parked"] = .integer(parked)
        object["settled"] = .integer(settled)
        object["discarded"] = .integer(discarded)
    }
}
