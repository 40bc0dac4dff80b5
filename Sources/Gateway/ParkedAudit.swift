// The auditor's view of parked usage: what was parked ends once at the most, under its own request id, and the
// list of open ones is what was parked less what has ended.

import Bytes
import Store

/// Collects what was parked and what has ended. Entries come in their order.
struct ParkedAudit {
    private struct Place: Hashable {
        var shard: Int
        var sequence: UInt64
    }

    private var open: [Place: Hash128] = [:]
    private var ended: [Place: Hash128] = [:]

    /// Takes an entry. Throws when it ends what was not parked, or has ended.
    mutating func add(_ entry: AuditedEntry) throws(Difference) {
        guard let outcome = entry.outcome else { return }
        if outcome.state == .parked {
            open[Place(shard: entry.shard, sequence: entry.sequence)] = outcome.key
        }
        guard let sequence = outcome.parkedSequence else { return }
        let place = Place(shard: entry.shard, sequence: sequence)
        guard ended[place] != outcome.key else {
            throw Difference(
                "what entry \(sequence) of shard \(entry.shard) parked was settled or discarded before")
        }
        guard open[place] == outcome.key else {
            throw Difference(
                "it settles or discards entry \(sequence) of shard \(entry.shard), and no entry of that request"
                    + " parked it")
        }
        open[place] = nil
        ended[place] = outcome.key
    }

    var counts: (open: Int, ended: Int) { (open.count, ended.count) }

    /// Compares with the list that the history keeps, when nothing but its rows was added: nil, or an entry that
    /// differs.
    func mismatch(
        listed: [(shard: UInt16, sequence: UInt64)]
    ) -> (text: String, shard: Int, sequence: UInt64)? {
        let list = Set(listed.map { Place(shard: Int($0.shard), sequence: $0.sequence) })
        let odd = list.symmetricDifference(open.keys).min {
            ($0.shard, $0.sequence) < ($1.shard, $1.sequence)
        }
        guard let odd else { return nil }
        return (
            "the history's entry \(odd.sequence) of shard \(odd.shard) is "
                + (list.contains(odd) ? "listed as parked and is not" : "parked and not listed as such"),
            odd.shard, odd.sequence
        )
    }
}
