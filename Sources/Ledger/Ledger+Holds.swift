// The ledger's holds, from outside: one lock each, as for a report.

import Bytes
import Pricing
import Synchronization

extension KeyMaker {
    /// The key of a hold's id. Holds, reports and acts do not share ids.
    @inline(__always)
    public func hold(_ id: ByteView, organisation: Hash128) -> Hash128 {
        KeyedHasher.hash(
            id,
            key: HashKey(first: ~secret.first ^ organisation.low, second: secret.second ^ organisation.high))
    }

    /// The hash of a provider's or model's name, letter case aside; 0 for none.
    public func name(_ name: ByteView) -> UInt64 {
        if name.isEmpty { return 0 }
        var folded = InlineArray<128, UInt8>(repeating: 0)
        let count = min(name.count, 128)
        for index in 0..<count {
            let byte = name[index]
            folded[index] = (0x41...0x5a).contains(byte) ? byte | 0x20 : byte
        }
        return unsafe withUnsafeBytes(of: folded) { buffer in
            unsafe KeyedHasher.hash(
                ByteView(
                    buffer.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self), count: count),
                key: secret
            ).low | 1
        }
    }
}

extension Ledger {
    /// The keys of a call about a hold. Throws where the path is outside the grammar.
    public func holdKeys(account path: ByteView, id: ByteView) throws(AccountPath.Fault) -> HoldKeys {
        let (organisation, account) = keys.account(
            path, organisationCount: try AccountPath.organisationCount(of: path))
        var found = RecordKeys.none
        found.organisation = organisation
        found.account = account
        found.hold = keys.hold(id, organisation: organisation)
        return HoldKeys(found)
    }

    /// Sets credit aside. `mark` is moved on to what the answer waits for.
    ///
    /// - Parameters:
    ///   - orphanPolicy: the one that applies; what the terms say of it is not looked at.
    ///   - record: the usage to be priced, with its event time, where the terms have no amount.
    ///   - names: what `RecordContent.append(holdNamesOf:to:)` makes of it.
    public func hold(
        _ terms: HoldTerms, _ orphanPolicy: OrphanPolicy, keys holdKeys: HoldKeys,
        record: borrowing UsageRecord, names: ByteView, book: PriceBook, now: Timestamp,
        mark: inout AnswerMark
    ) -> HoldDecision {
        let number = shard(of: holdKeys.organisation)
        return shards[number].state.withLock { state in
            state.historySequence = lookahead[number].historySequence.load(ordering: .relaxed)
            let answer = state.hold(
                terms, orphanPolicy, keys: holdKeys, record: record, names: names, book: book, now: now,
                openMax: holdsMax)
            mark.include(state)
            note(number, state)
            shards[number].holds.note(state)
            return answer
        }
    }

    /// Prolongs a hold to `leaseMilliseconds` from now, and grows it to `amount` where one is given.
    ///
    /// - Parameter history: what history said of a hold that memory does not know, so that the refusal says how it
    ///   ended.
    public func extend(
        _ holdKeys: HoldKeys, leaseMilliseconds: Int64, amount: Int64?, now: Timestamp,
        history: HistoryAnswer = .notAsked, mark: inout AnswerMark
    ) -> HoldDecision {
        onShard(of: holdKeys, mark: &mark) {
            $0.extend(
                holdKeys, leaseMilliseconds: leaseMilliseconds, amount: amount, now: now, history: history)
        }
    }

    /// Whether a hold is open, or remembered to have ended.
    public func knowsHold(_ keys: RecordKeys) -> Bool {
        shards[shard(of: keys.organisation)].state.withLock {
            $0.holds.find(keys.hold) != nil || $0.ids.hold(keys.hold) != nil
        }
    }

    /// Releases a hold without a charge. See `extend` for `history`.
    public func void(
        _ holdKeys: HoldKeys, reason: ByteView, now: Timestamp, history: HistoryAnswer = .notAsked,
        mark: inout AnswerMark
    ) -> HoldDecision {
        onShard(of: holdKeys, mark: &mark) {
            $0.void(holdKeys, reason: reason, now: now, history: history)
        }
    }

    private func onShard(
        of holdKeys: HoldKeys, mark: inout AnswerMark, _ body: (inout ShardState) -> HoldDecision
    ) -> HoldDecision {
        let number = shard(of: holdKeys.organisation)
        return shards[number].state.withLock { state in
            state.historySequence = lookahead[number].historySequence.load(ordering: .relaxed)
            let answer = body(&state)
            mark.include(state)
            note(number, state)
            return answer
        }
    }

    /// Ends the leases whose time has come, at most `atMost` of a shard at a time, so that no lock is held
    /// long. Takes no lock where nothing is due. Returns whether more are due.
    public func expireHolds(now: Timestamp, atMost: Int = 512, mark: inout AnswerMark) -> Bool {
        var isMore = false
        for number in shards.indices
        where lookahead[number].nextHoldExpiry.load(ordering: .relaxed) <= now.microseconds {
            shards[number].state.withLock { state in
                state.historySequence = lookahead[number].historySequence.load(ordering: .relaxed)
                if state.expireHoldsNow(until: now, atMost: atMost) { isMore = true }
                mark.include(state)
                note(number, state)
            }
        }
        return isMore
    }

    /// The open holds of an account and of those below it, oldest first; of all accounts without a path.
    /// At most `limit`. O(open holds); the locks are held one after the other.
    public func openHolds(
        of path: ByteView? = nil, limit: Int, mark: inout AnswerMark
    ) -> OpenHolds {
        var found: [OpenHold] = []
        for number in shards.indices {
            shards[number].state.withLock { state in
                mark.include(state)
                let current = path.flatMap { state.currentPath(of: $0) } ?? path.map { Array($0) }
                (current ?? []).withView { wanted in
                    state.holds.forEach { number, row in
                        let account = state.path(of: row.account)
                        if current != nil, account != wanted, !account.isBelow(wanted) { return }
                        found.append(
                            OpenHold(
                                id: state.holds.id(number).withView { Array($0) }, account: Array(account),
                                wallet: Array(state.path(of: row.wallet)), source: row.source,
                                policy: row.policy, amount: row.amount, openedAt: row.openedAt,
                                expiresAt: row.expiresAt, sequence: row.sequence,
                                orphanPolicy: row.orphan, orphanCharge: row.orphanCharge))
                    }
                }
            }
        }
        found.sort { ($0.openedAt, $0.sequence) < ($1.openedAt, $1.sequence) }
        return OpenHolds(
            oldest: Array(found.prefix(limit)), open: found.count,
            held: found.reduce(0) { $0 + Int128($1.amount) })
    }

    /// Open holds, what they keep in nanocredits, and when the oldest was opened.
    public func holdFigures() -> HoldFigures {
        var figures = HoldFigures()
        for number in shards.indices {
            shards[number].state.withLock { state in
                figures.open += state.holds.count
                figures.held += state.totals.held
                figures.expired += state.expiredHolds
                figures.orphaned += state.orphanedHolds
                figures.orphanCharges += state.orphanCharges
                state.holds.forEach { _, row in
                    figures.oldest = min(figures.oldest ?? row.openedAt, row.openedAt)
                }
            }
        }
        return figures
    }
}

/// Open holds of an account and those below it, or of all.
public struct OpenHolds: Hashable, Sendable {
    /// The oldest of them, oldest first: as many as were asked for.
    public var oldest: [OpenHold]
    /// All of them, and what they keep, in nanocredits.
    public var open: Int
    public var held: Int128
}

/// What holds come to, over all accounts.
public struct HoldFigures: Hashable, Sendable {
    public var open = 0
    /// Nanocredits.
    public var held: Int128 = 0
    /// Those whose lease ended, since this process began.
    public var expired = 0
    /// Those of them that charged their orphan, and what they charged, in nanocredits.
    public var orphaned = 0
    public var orphanCharges: Int128 = 0
    /// When the oldest was opened.
    public var oldest: Timestamp?

    public init() {}
}

extension ByteView {
    /// Whether this path is below another.
    func isBelow(_ path: ByteView) -> Bool {
        count > path.count && self[path.count] == UInt8(ascii: "/") && self[0..<path.count] == path
    }
}
