// From ledger entries to events of the outbox.

import Bytes
import Ledger
import Money
import Pricing
import Store
import StrictJSON

/// The types of events, in the words of CloudEvents: what it is about, and what happened.
public enum EventType {
    public static let granted = "credits.granted"
    public static let expired = "credits.expired"
    public static let voided = "credits.voided"
    public static let refunded = "credits.refunded"
    public static let deducted = "credits.deducted"
    public static let holdExpired = "hold.expired"
    public static let parked = "usage.parked"
    public static let settled = "usage.settled"
    public static let corrected = "usage.corrected"
    public static let discarded = "usage.discarded"
    public static let threshold = "balance.threshold"
    public static let depleted = "balance.depleted"
    public static let recovered = "balance.recovered"
    public static let budgetExceeded = "budget.exceeded"
    public static let accountChanged = "account.changed"
    public static let accountMoved = "account.moved"

    /// Every type that there is.
    public static let all = [
        granted, expired, voided, refunded, deducted, holdExpired, parked, settled, corrected, discarded,
        threshold, depleted, recovered, budgetExceeded, accountChanged, accountMoved,
    ]
}

extension HistoryRows {
    /// Writes the events of an entry, in the transaction that has its row.
    mutating func addEvents(of entry: Entry, _ place: Place, to writer: inout HistoryWriter) throws {
        guard writer.isNew(lsn: place.lsn) else { return }
        part = 0
        switch entry {
        case .charged(let charge): try addEvents(of: charge, place, to: &writer)
        case .parkedSettled(let end):
            let type = end.isCorrected ? EventType.corrected : EventType.settled
            try tell(type, of: end.charge, end, place, to: &writer)
            try noteLowered(by: end.charge, place, to: &writer)
        case .parkedDiscarded(let end): try tell(EventType.discarded, of: end.charge, end, place, to: &writer)
        case .granted(let grant): try addEvents(of: grant, place, to: &writer)
        case .grantEnded(let ended):
            try tell(
                ended.cause == .voided ? EventType.voided : EventType.expired, about: ended.path,
                [
                    "amount": credits(ended.amount), "balance": credits(ended.balanceAfter),
                    "grant_id": .wide(ended.grant),
                ], place, to: &writer)
            try noteLowered(ended.path, balance: ended.balanceAfter, place, to: &writer)
        case .deducted(let deducted):
            try tell(
                EventType.deducted, about: deducted.path,
                ["amount": credits(deducted.amount), "balance": credits(deducted.balanceAfter)], place,
                to: &writer)
            try noteLowered(deducted.path, balance: deducted.balanceAfter, place, to: &writer)
        case .holdEnded(let hold) where hold.state == .expired:
            try tell(
                EventType.holdExpired, about: hold.path,
                ["hold_id": .string(hold.id.text), "released": credits(hold.amount)], place, to: &writer)
        case .holdOrphaned(let orphaned): try addEvents(of: orphaned, place, to: &writer)
        case .budgetCrossed(let crossed): try addEvents(of: crossed, place, to: &writer)
        case .accountChanged(let changed):
            try tell(
                EventType.accountChanged, about: changed.path,
                [
                    "status": .string(changed.status.name), "tier": .string(changed.tier.text),
                    "reason": .string(changed.reason.text),
                ], place, to: &writer)
        case .accountMoved(let moved):
            try tell(
                EventType.accountMoved, about: moved.to,
                [
                    "from": .string(moved.from.text), "to": .string(moved.to.text),
                    "reason": .string(moved.act.reason.text),
                ], place, to: &writer)
        case .holdEnded, .held, .holdChanged, .noted, .accountOpened, .budgetSet: break
        }
    }

    private mutating func addEvents(
        of charge: ChargeEntry, _ place: Place, to writer: inout HistoryWriter
    ) throws {
        if charge.state == .parked {
            return try tell(EventType.parked, of: charge, nil, place, to: &writer)
        }
        if let orphan = charge.orphan {
            let record = try RecordContent.read(charge.content)
            try tell(
                EventType.corrected, about: record.account,
                [
                    "request_id": .string(record.requestID.text), "hold_id": .string(record.holdID.text),
                    "provider": .string(record.provider.text), "model": .string(record.model.text),
                    "orphan_charge": credits(orphan.charge), "charge": credits(charge.charge),
                    "given_back": credits(charge.givenBack),
                ], place, to: &writer)
        }
        if charge.charge > 0 { try noteLowered(by: charge, place, to: &writer) }
    }

    private mutating func addEvents(
        of orphaned: OrphanedEntry, _ place: Place, to writer: inout HistoryWriter
    ) throws {
        let charge = orphaned.charge
        let record = try RecordContent.read(charge.content)
        try tell(
            EventType.holdExpired, about: record.account,
            [
                "hold_id": .string(record.holdID.text), "released": credits(charge.holdReleased),
                "orphan_policy": .string(orphaned.policy.name), "charge": credits(charge.charge),
                "balance": credits(charge.balanceAfter),
            ], place, to: &writer)
        try noteLowered(by: charge, place, to: &writer)
    }

    private mutating func addEvents(of grant: GrantEntry, _ place: Place, to writer: inout HistoryWriter)
        throws
    {
        var object: JSONObject = [
            "amount": credits(grant.amount), "balance": credits(grant.balanceAfter),
            "kind": .string(grant.kind.name), "grant_id": .wide(place.sequence),
            "source": .string(grant.source.text),
        ]
        if let charge = grant.refundOf { object["request_id"] = .string(charge.requestID.text) }
        try tell(
            grant.refundOf == nil ? EventType.granted : EventType.refunded, about: grant.path, object, place,
            to: &writer)
        let notices = try watch.granted(
            grant.path, amount: grant.amount, balance: grant.balanceAfter,
            time: Timestamp(microseconds: place.time), writer: &writer)
        try tell(notices, grant.path, balance: grant.balanceAfter, place, to: &writer)
    }

    private mutating func addEvents(
        of crossed: BudgetCrossedEntry, _ place: Place, to writer: inout HistoryWriter
    ) throws {
        func amount(_ value: Int64) -> JSONValue { crossed.metric == .cost ? credits(value) : .wide(value) }
        try tell(
            EventType.budgetExceeded, about: crossed.path,
            [
                "budget": .string(crossed.name.text), "metric": .string(crossed.metric.name),
                "window": .string(crossed.window.name), "limit": amount(crossed.limit),
                "used": amount(crossed.used),
            ], place, to: &writer)
    }

    private mutating func tell(
        _ type: String, of charge: ChargeEntry, _ end: ParkedEndEntry?, _ place: Place,
        to writer: inout HistoryWriter
    ) throws {
        let record = try RecordContent.read(charge.content)
        var object: JSONObject = [
            "request_id": .string(record.requestID.text), "provider": .string(record.provider.text),
            "model": .string(record.model.text),
        ]
        if let reason = charge.parkedReason { object["parked_reason"] = .string("\(reason.name)") }
        if let end {
            object["charge"] = credits(charge.charge)
            object["reason"] = .string(end.reason.text)
        }
        try tell(type, about: record.account, object, place, to: &writer)
    }

    private mutating func noteLowered(
        by charge: ChargeEntry, _ place: Place, to writer: inout HistoryWriter
    ) throws {
        var wallet = try RecordContent.account(of: charge.content)
        if charge.wallet != charge.account { wallet = wallet[0..<charge.walletPathCount] }
        try noteLowered(wallet, balance: charge.balanceAfter, place, to: &writer)
    }

    private mutating func noteLowered(
        _ wallet: ByteView, balance: Int64, _ place: Place, to writer: inout HistoryWriter
    ) throws {
        let notices = try watch.lowered(wallet, balance: balance, writer: &writer)
        if !notices.isEmpty { try tell(notices, wallet, balance: balance, place, to: &writer) }
    }

    private mutating func tell(
        _ notices: [ThresholdWatch.Notice], _ wallet: ByteView, balance: Int64, _ place: Place,
        to writer: inout HistoryWriter
    ) throws {
        for notice in notices {
            let (type, threshold, period): (String, Int, WalletPeriod)
            switch notice {
            case .crossed(let crossed, let of):
                (type, threshold, period) = (
                    crossed == 100 ? EventType.depleted : EventType.threshold, crossed, of
                )
            case .recovered(let from, let of): (type, threshold, period) = (EventType.recovered, from, of)
            }
            try tell(
                type, about: wallet,
                [
                    "threshold_percent": .integer(threshold), "balance": credits(balance),
                    "period_credit": credits(period.granted),
                    "period_began_at": .string(Timestamp(microseconds: period.beganAt).text),
                ], place, to: &writer)
        }
    }

    private mutating func tell(
        _ type: String, about subject: ByteView, _ data: JSONObject, _ place: Place,
        to writer: inout HistoryWriter
    ) throws {
        var event = HistoryEvent()
        event.lsn = place.lsn
        event.shard = place.shard
        event.sequence = place.sequence
        event.part = part
        event.time = place.time
        event.subject = subject
        part += 1
        try Array(type.utf8).withView { (type) throws in
            try JSONValue.object(data).bytes().withView { (data) throws in
                event.type = type
                event.data = data
                try writer.add(event)
            }
        }
    }

    private func credits(_ amount: Int64) -> JSONValue { .string(Nanocredits(amount).text) }
}

extension JSONValue {
    /// A number that a reader of doubles would garble is text.
    fileprivate static func wide(_ value: some BinaryInteger) -> JSONValue {
        value.magnitude <= 1 << 53 ? .integer(value) : .string(String(value))
    }
}
