// Which tiers accounts are in, for whoever makes rules for them.

extension Ledger {
    /// The tiers that accounts of this process have been in since it started, lower-case.
    ///
    /// Locks each shard for a moment.
    public func accountTiers() -> Set<String> {
        var tiers: Set<String> = []
        for number in shards.indices {
            shards[number].state.withLock { state in
                for tier in 0..<state.tiers.count { tiers.insert(state.tiers[UInt16(tier)].text) }
            }
        }
        return tiers
    }
}
