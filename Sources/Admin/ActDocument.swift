// Who does something, why, and what else an administrator's document says beside the amount.
//
// `by` and `reason` may stand in the document itself or, as in the billing guide, in its metadata: there the
// actor is `approved_by`, `reviewed_by` or `actor`.

import Gateway
import Ledger
import Money
import Pricing
import StrictJSON

/// Who and why; empty where the document does not say.
struct ActNote: Hashable, Sendable {
    var actor = ""
    var reason = ""

    static let keys = ["by", "reason"]
    private static let actorNames = ["approved_by", "reviewed_by", "actor"]

    init() {}

    init(_ root: JSONNode) throws(JSONError) {
        let metadata = try root.optional("metadata")
        if let node = try root.optional("by") {
            actor = try node.words(bytesMax: AdminLimits.actorBytesMax)
        } else {
            for name in Self.actorNames where actor.isEmpty {
                actor = try Self.text(metadata, name, bytesMax: AdminLimits.actorBytesMax)
            }
        }
        if let node = try root.optional("reason") {
            reason = try node.words(bytesMax: AdminLimits.reasonBytesMax)
        } else {
            reason = try Self.text(metadata, "reason", bytesMax: AdminLimits.reasonBytesMax)
        }
    }

    /// A text of the metadata. What is no text there, or too long, is the metadata's own affair.
    private static func text(
        _ metadata: JSONNode?, _ name: String, bytesMax: Int
    ) throws(JSONError) -> String {
        guard let node = try metadata?.optional(name), case .string(let text) = node.value,
            text.utf8.count <= bytesMax
        else { return "" }
        return text
    }
}

/// What every act's document has.
struct ActDocument: Sendable {
    static let keys = ["user_id", "account", "metadata"] + ActNote.keys

    var account: NamedAccount
    var note: ActNote
    var metadata: [UInt8]

    init(_ root: JSONNode) throws(JSONError) {
        account = try root.account()
        note = try ActNote(root)
        metadata = try root.optional("metadata")?.metadata() ?? []
    }

    /// Refuses an act that nobody can explain later.
    func expectReason(_ root: JSONNode) throws(JSONError) {
        guard note.reason.isEmpty else { return }
        throw .missing(path: root.path, key: "reason")
    }

    func command(_ act: CreditAct, key: [UInt8]?) -> CreditCommand {
        CreditCommand(
            act, actor: Array(note.actor.utf8), reason: Array(note.reason.utf8), metadata: metadata,
            idempotencyKey: key)
    }
}

extension JSONNode {
    /// The amount of a document, above zero.
    func amount(_ key: String = "amount") throws(JSONError) -> Nanocredits {
        let node = try field(key)
        let amount = try node.credits()
        guard amount > .zero else { throw node.invalid("it must be more than 0 credits") }
        return amount
    }

    /// An administrator's metadata, compact.
    func metadata() throws(JSONError) -> [UInt8] {
        let bytes = JSONValue.object(try object()).bytes()
        guard bytes.count <= AdminLimits.metadataBytesMax else {
            throw invalid("it has \(bytes.count) bytes, and may have \(AdminLimits.metadataBytesMax)")
        }
        return bytes
    }
}

extension JSONObject {
    /// What an act came to: balances before and after, its place, and whether it was done before.
    mutating func write(_ receipt: ActReceipt) {
        self["balance_before"] = .credits(receipt.balanceBefore)
        self["balance_after"] = .credits(receipt.balance)
        self["sequence"] = .integer(receipt.sequence)
        self["duplicate"] = .bool(receipt.duplicate)
    }

    /// Who and why.
    mutating func write(_ note: ActNote) {
        self["by"] = .word(note.actor)
        self["reason"] = .word(note.reason)
    }
}
