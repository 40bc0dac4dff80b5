// `GET /api/v1/events`: the outbox, as CloudEvents 1.0, oldest first.
//
//      ?after=ID&limit=&type=&account=
//
// `next_after` is where the next page begins; a reader that keeps it misses nothing and sees nothing twice. An
// event's id is the place of its entry in the ledger, so it is the same wherever it is read.

import Gateway
import Ledger
import Pricing
import Store
import StrictJSON

extension AdminDesk {
    func events(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters(["after", "limit", "type", "account", "user_id"])
        var filter = EventFilter()
        filter.after = Int64(try request.integer("after", in: 0...Int.max) ?? 0)
        filter.limit =
            try request.integer("limit", in: 1...AdminLimits.pageRowsMax) ?? AdminLimits.pageRowsDefault
        let account = try request.account()
        filter.subject = account?.path.text
        if let type = request.parameter("type") {
            guard EventType.all.contains(type) else {
                throw .badParameter(
                    "type", found: type, expected: "one of \(EventType.all.joined(separator: ", "))")
            }
            filter.type = type
        }
        try await catchUp()
        let (gateway, wanted) = (gateway, filter)
        let events = try await reading { () throws(AdministrationError) in try gateway.events(wanted) }
        if events.isEmpty, let account { _ = try await summary(of: account) }
        let source = gateway.eventSource
        return Reply([
            "events": .array(events.map { .object($0.json(source: source)) }),
            "next_after": .wide(events.last?.id ?? filter.after),
            "history_lag": .integer(gateway.historyLag),
        ])
    }
}

extension OutboxEvent {
    fileprivate func json(source: String) -> JSONObject {
        var object: JSONObject = [
            "specversion": "1.0", "id": .string("\(shard)-\(sequence)" + (part == 0 ? "" : "-\(part)")),
            "source": .string(source), "type": .string(type), "subject": .string(subject),
            "time": .instant(time), "datacontenttype": "application/json",
        ]
        do throws(JSONError) {
            object["data"] = try JSONNode(parsing: Array(data.utf8), bytesMax: 1 << 20).value
        } catch {
            // What this process wrote as JSON is JSON; a hand that changed it is shown what is there.
            object["data"] = .string(data)
        }
        object["outbox_id"] = .wide(id)
        return object
    }
}
