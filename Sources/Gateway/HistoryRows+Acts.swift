// Rows of administrators' acts: what moved, and in the details who, why and under which key.

import Bytes
import Ledger
import Store
import StrictJSON

extension HistoryRows {
    mutating func add(_ entry: DeductEntry, _ place: Place, to writer: inout HistoryWriter) throws(StoreError)
    {
        var row = credit(place)
        row.amount = -entry.amount
        row.balanceAfter = entry.balanceAfter
        row.source = entry.service
        row.idempotencyKey = entry.act.idempotencyKey
        var object = GrantDetails.object(entry.act)
        if !entry.other.isEmpty { object["to"] = .string(entry.other.text) }
        object["draws"] = .array(
            entry.draws.draws.map {
                .object(["grant_id": .string("\($0.grant)"), "amount_nanocredits": .integer($0.amount)])
            })
        setDetails(object, metadata: entry.act.metadata)
        let kind =
            switch entry.cause {
            case .manual: TransactionKind.deduction
            case .forfeited: TransactionKind.forfeited
            case .transferred: TransactionKind.transferredOut
            }
        try write(row, account: entry.path, kind: kind, to: &writer)
    }

    mutating func add(_ entry: NotedEntry, _ place: Place, to writer: inout HistoryWriter) throws(StoreError)
    {
        var row = credit(place)
        row.idempotencyKey = entry.act.idempotencyKey
        var object = GrantDetails.object(entry.act)
        object["noted_amount_nanocredits"] = .integer(entry.amount)
        if let charge = entry.charge {
            GrantDetails.add(charge, to: &object)
            row.reference = charge.requestID
        }
        setDetails(object, metadata: entry.act.metadata)
        try write(row, account: entry.path, kind: TransactionKind.noted, to: &writer)
    }
}

extension GrantDetails {
    /// Who, why, and the digest of an act.
    static func object(_ act: ActDetails) -> JSONObject {
        var object: JSONObject = [:]
        if act.key != nil { object["digest"] = .string(hexadecimal(act.digest)) }
        add(actor: act.actor, reason: act.reason, to: &object)
        return object
    }

    static func add(actor: ByteView, reason: ByteView, to object: inout JSONObject) {
        if !actor.isEmpty { object["by"] = .string(actor.text) }
        if !reason.isEmpty { object["reason"] = .string(reason.text) }
    }

    /// What a grant may pay for.
    static func object(filter: ByteView) throws(UnpackingError) -> JSONObject {
        let filter = try GrantFilter(reading: filter)
        var object = JSONObject()
        if !filter.providers.isEmpty { object["providers"] = .array(filter.providers.map { .string($0) }) }
        if !filter.models.isEmpty { object["models"] = .array(filter.models.map { .string($0) }) }
        return object
    }

    /// The charge that a refund or a note is about.
    static func add(_ charge: ChargeLink, to object: inout JSONObject) {
        object["request_id"] = .string(charge.requestID.text)
        object["charge_sequence"] = .string("\(charge.sequence)")
        object["charged_nanocredits"] = .integer(charge.charged)
    }

    static func hexadecimal(_ digest: UInt64) -> String {
        let digits = String(digest, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
