// The auditor's view of parked usage: what was parked ends once at the most, under its own request id, and the
// list of open ones is what was parked less what has ended.

import Bytes

/// Collects what was parked and what has ended, in any order.
struct ParkedAudit {
    private struct Place: Hashable {
        var shard: UInt16
        var sequence: UInt64
    }

    private var parked: [Place: Hash128] = [:]
    private var ends: [(place: Place, key: Hash128)] = []

    mutating func park(_ shard: UInt16, _ sequence: UInt64, key: Hash128) {
        parked[Place(shard: shard, sequence: sequence)] = key
    }

    mutating func end(_ shard: UInt16, _ sequence: UInt64, key: Hash128) {
        ends.append((Place(shard: shard, sequence: sequence), key))
    }

    /// How many are open and how many have ended.
    func check() throws(Difference) -> (open: Int, ended: Int) {
        var ended: Set<Place> = []
        for (place, key) in ends {
            guard parked[place] == key else {
                throw Difference(
                    "shard \(place.shard): entry \(place.sequence) was settled or discarded, and no entry of that"
                        + " request parked it")
            }
            guard ended.insert(place).inserted else {
                throw Difference(
                    "shard \(place.shard): what entry \(place.sequence) parked was settled or discarded twice"
                )
            }
        }
        return (parked.count - ended.count, ended.count)
    }

    /// Compares with the list that the history keeps, when nothing but its rows was added.
    func check(listed: [(shard: UInt16, sequence: UInt64)]) throws(Difference) {
        var open = Set(parked.keys)
        for (place, _) in ends { open.remove(place) }
        let list = Set(listed.map { Place(shard: $0.shard, sequence: $0.sequence) })
        guard let odd = open.symmetricDifference(list).first else { return }
        throw Difference(
            "history: entry \(odd.sequence) of shard \(odd.shard) is "
                + (list.contains(odd) ? "listed as parked and is not" : "parked and not listed as such"))
    }
}
