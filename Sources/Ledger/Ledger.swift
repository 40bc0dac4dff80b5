// The ledger: every account, spread over shards that lock on their own.
//
// An operation touches one organisation, so it takes one lock and there is no lock order to remember.
// Under the lock only memory is touched; waiting for the disk happens outside. An entry is staged for
// the journal under the same lock, so the journal's order is the ledger's order within a shard.

import Bytes
import CPlatform
import Pricing
import Synchronization

/// The bounds of a ledger; a test states how they relate.
public enum LedgerLimits {
    /// Shards of a data directory; fixed when it is made.
    public static let shardCount = 256
    /// Ids remembered in memory, over all shards, unless a setting says otherwise: 700 MB at the most.
    public static let idsDefault = 16_777_216
    /// The most that a setting can ask for: what the positions of the shards' tables can tell apart.
    public static let idsMax = 134_000_000
    /// The most request ids of one organisation that are remembered while history is behind; half as many while it is not.
    public static let idsOfOrganisationMax = IdempotencyTable.rowsMax
    /// Unspent grants of a wallet. It keeps the entry of a charge that draws on all of them small, and the
    /// list short that a new grant walks under the lock.
    public static let grantsPerWalletMax = 1_024
    /// Different tiers that the accounts of a shard are in while the process runs, and bytes of a name.
    public static let tiersPerShardMax = 1_024
    public static let tierBytesMax = PricingLimits.idBytesMax
    /// How far ahead of the gateway's clock an event may be.
    public static let eventAheadMax = Timestamp(microseconds: 300_000_000)
}

/// Every account of a data directory. All functions may be called from any thread.
public final class Ledger: Sendable {
    public let keys: KeyMaker
    let shards: ShardTable

    let lookahead: LookaheadTable

    /// The most open holds there may be over all shards.
    let holdsMax: Int

    /// An empty ledger. `idsMax` bounds the request ids remembered in memory (see
    /// `LedgerLimits.idsOfOrganisationMax` for one organisation), `holdsMax` the open holds, over all shards.
    public init(
        secret: HashKey, shardCount: Int = LedgerLimits.shardCount, idsMax: Int = LedgerLimits.idsDefault,
        holdsMax: Int = HoldLimits.openDefault
    ) {
        precondition(shardCount > 0 && shardCount <= ShardSet.countMax)
        keys = KeyMaker(secret: secret)
        self.holdsMax = holdsMax
        shards = ShardTable(count: shardCount, idsMax: max(1, idsMax), keys: keys)
        lookahead = LookaheadTable(count: shardCount)
    }

    public var shardCount: Int { shards.count }

    /// The shard of an organisation.
    @inline(__always)
    public func shard(of organisation: Hash128) -> Int { shards.number(of: organisation) }

    // MARK: - Reports

    /// Asks the processor for the cache lines that a report will need.
    @inline(__always)
    public func prefetch(_ organisation: Hash128, account: Hash128, request: Hash128) {
        prefetchSlots(organisation, account: account)
        prefetchID(request, organisation: organisation)
    }

    /// Asks for the line where an id will be looked for and kept: a request's, or that of a hold which is settled.
    @inline(__always)
    public func prefetchID(_ key: Hash128, organisation: Hash128) {
        let number = shard(of: organisation)
        let ids = lookahead[number].idSlots.load(ordering: .relaxed)
        let bucket = IdempotencyTable.bucket(
            of: key.low, count: lookahead[number].idBuckets.load(ordering: .relaxed))
        unsafe tollgate_prefetch_write(UnsafeRawPointer(bitPattern: ids + 64 * UInt(bitPattern: bucket)))
    }

    /// Asks for what leads to a hold.
    @inline(__always)
    public func prefetchHoldLists(_ hold: Hash128, organisation: Hash128) {
        shards[shard(of: organisation)].holds.prefetchLists(hold)
    }

    /// Asks for the cache lines that a quote will need: those of a report without its id.
    @inline(__always)
    public func prefetchSlots(_ organisation: Hash128, account: Hash128) {
        let number = shard(of: organisation)
        unsafe tollgate_prefetch(
            UnsafeRawPointer(bitPattern: AccountIndex.slotAddress(account, in: lookahead[number].index)))
        shards.prefetch(number)
    }

    /// Asks for the account's row, whose place is in the lines that `prefetch` asked for, and for the lines that will
    /// be written. Returns where `prefetchLevels` goes on.
    ///
    /// Takes no lock: a lock lets nothing behind it begin before all that stands in front of it has ended, and this is
    /// called for many records so that they wait for memory at the same time.
    @inline(__always)
    public func prefetchAccount(_ organisation: Hash128, account: Hash128) -> LevelCursor {
        let number = shard(of: organisation)
        shards[number].next.prefetch()
        guard let (row, address) = guess(account, shard: number) else { return .end }
        unsafe tollgate_prefetch_write(UnsafeRawPointer(bitPattern: address))
        unsafe tollgate_prefetch_write(UnsafeRawPointer(bitPattern: address &+ 64))
        return shards[number].next.mayHaveMore ? LevelCursor(account: row) : .end
    }

    /// Asks for what stands a step further up than what `prefetchAccount`, and this before, asked for and what has come
    /// since: the account above, budgets. Takes no lock.
    @inline(__always)
    public func prefetchLevels(_ organisation: Hash128, _ cursor: inout LevelCursor) {
        let number = shard(of: organisation)
        shards[number].levels.advance(&cursor, in: lookahead[number].rows)
    }

    /// Asks for what a hold or its settlement needs beside that, which `prefetchHoldLists` led to. Takes no lock.
    @inline(__always)
    public func prefetchHold(_ keys: RecordKeys) {
        let number = shard(of: keys.organisation)
        shards.prefetchHolds(number)
        // A new hold is looked for among the ids by its own key.
        let isNew = keys.request == keys.hold
        shards[number].holds.prefetchRecord(keys.hold, isNew: isNew)
        if !isNew { shards[number].next.prefetchSecondOutcome() }
    }

    /// An account's row and where it stands, probably; read without a lock.
    @inline(__always)
    private func guess(_ account: Hash128, shard number: Int) -> (row: UInt32, address: UInt)? {
        guard let row = AccountIndex.guess(account, in: lookahead[number].index) else { return nil }
        let address = Slab<AccountRow>.guess(row, in: lookahead[number].rows)
        return address == 0 ? nil : (row, address)
    }

    /// Whether a record may be older than what is remembered, so that history should be asked first.
    @inline(__always)
    public func mayNeedHistory(_ organisation: Hash128, eventTime: Timestamp) -> Bool {
        eventTime.microseconds <= lookahead[shard(of: organisation)].horizon.load(ordering: .relaxed)
    }

    /// Whether history should be asked about any record of such an event time, whatever its organisation.
    @inline(__always)
    public func mayNeedHistory(earliest eventTime: Timestamp) -> Bool {
        eventTime.microseconds <= lookahead.latestHorizon.load(ordering: .relaxed)
    }

    /// Decides a report and applies it. `mark` is moved on to what the answer waits for. Returns why there is no
    /// receipt; nil if `receipt` is it.
    ///
    /// - Parameter pin: what the record's quote token comes to, for one that carries a token; `book` is then
    ///   the one that holds what was pinned.
    public func report(
        _ record: borrowing UsageRecord, keys: RecordKeys, content: ByteView, book: PriceBook,
        pin: PricePin = .none, now: Timestamp, history: HistoryAnswer = .notAsked, mark: inout AnswerMark,
        into receipt: inout Receipt
    ) -> NoReceipt? {
        let number = shard(of: keys.organisation)
        return shards[number].state.withLock { state in
            state.historySequence = lookahead[number].historySequence.load(ordering: .relaxed)
            let answer = state.report(
                record, keys: keys, content: content, book: book, pin: pin, now: now, history: history,
                into: &receipt)
            mark.include(state)
            note(number, state)
            if keys.isAboutHold { shards[number].holds.note(state) }
            return answer
        }
    }

    /// Notes, under its lock, what a shard's state has come to, for those who look without it.
    @inline(__always)
    func note(_ number: Int, _ state: borrowing ShardState) {
        lookahead.update(number, state)
        shards[number].next.note(state)
        if state.budgetCount > 0 { shards[number].levels.note(state) }
    }

    // MARK: - Accounts and credit

    /// Opens an account. Throws where the path is outside the grammar.
    public func open(
        _ path: ByteView, settings: AccountSettings, now: Timestamp, mark: inout AnswerMark
    ) throws(AccountPath.Fault) -> ActAnswer {
        _ = try AccountPath.organisationCount(of: path)
        let hashes = keys.path(path)
        let number = shard(of: hashes.organisation)
        return shards[number].state.withLock { state in
            let answer = state.open(
                path: path, hash: hashes.account, ancestors: hashes.ancestors, settings: settings, now: now)
            mark.include(state)
            note(number, state)
            return answer
        }
    }

    /// Changes what an account is from now on; what `change` does not name stays.
    public func change(
        _ path: ByteView, _ change: AccountChange, reason: ByteView, now: Timestamp, mark: inout AnswerMark
    ) throws(AccountPath.Fault) -> ActAnswer {
        _ = try AccountPath.organisationCount(of: path)
        let hashes = keys.path(path)
        return shards[shard(of: hashes.organisation)].state.withLock { state in
            let answer = state.change(
                state.current(hashes.account, of: path), change, reason: reason, now: now)
            mark.include(state)
            return answer
        }
    }

    /// The keyed hash under which a grant's idempotency key is remembered, for asking history.
    public func actKey(_ idempotencyKey: ByteView, account: ByteView) throws(AccountPath.Fault) -> Hash128 {
        _ = try AccountPath.organisationCount(of: account)
        return keys.act(idempotencyKey, organisation: keys.path(account).organisation)
    }

    /// Gives credit to the account's wallet.
    public func grant(
        _ request: GrantRequest, to path: ByteView, now: Timestamp, history: HistoryAnswer = .notAsked,
        mark: inout AnswerMark
    ) throws(AccountPath.Fault) -> ActAnswer {
        _ = try AccountPath.organisationCount(of: path)
        let hashes = keys.path(path)
        let key = request.idempotencyKey.map {
            $0.withView { keys.act($0, organisation: hashes.organisation) }
        }
        let digest = digest(of: request, account: path)
        let number = shard(of: hashes.organisation)
        return shards[number].state.withLock { state in
            state.historySequence = lookahead[number].historySequence.load(ordering: .relaxed)
            let account = state.current(hashes.account, of: path)
            var answer = state.grant(
                request, to: account, key: key, digest: digest, now: now, history: history)
            if case .refused(let refusal) = answer, refusal.reason == .idempotencyConflict,
                let first = state.sameAct(
                    refusal, of: path, { self.digest(of: request, account: $0) })
            {
                answer = state.grant(
                    request, to: account, key: key, digest: first, now: now, history: history)
            }
            mark.include(state)
            note(number, state)
            return answer
        }
    }

    private func digest(of request: GrantRequest, account: ByteView) -> UInt64 {
        var packer = BytePacker(capacity: 256)
        packer.append(prefixed: account)
        packer.append(byte: request.kind.rawValue)
        packer.append(request.amount)
        packer.append(request.expiresAt.microseconds)
        request.source.withView { packer.append(prefixed: $0) }
        request.metadata.withView { packer.append(prefixed: $0) }
        if !request.filter.isEmpty { request.filter.packed.withView { packer.append(prefixed: $0) } }
        if !request.actor.isEmpty || !request.reason.isEmpty {
            request.actor.withView { packer.append(prefixed: $0) }
            request.reason.withView { packer.append(prefixed: $0) }
        }
        return keys.digest(packer.view)
    }

    /// The worst status on the way up from an account; nil when there is no such account, or no wallet for it.
    public func status(of path: ByteView) throws(AccountPath.Fault) -> AccountStatus? {
        _ = try AccountPath.organisationCount(of: path)
        let hashes = keys.path(path)
        return shards[shard(of: hashes.organisation)].state.withLock { state in
            guard let account = state.find(state.current(hashes.account, of: path)) else { return nil }
            let standing = state.standing(of: account)
            return standing.wallet == nil ? nil : standing.status
        }
    }

    /// What an account may spend now; nil when there is no such account.
    public func summary(
        of path: ByteView, now: Timestamp, mark: inout AnswerMark
    ) throws(AccountPath.Fault) -> AccountSummary? {
        _ = try AccountPath.organisationCount(of: path)
        let hashes = keys.path(path)
        return shards[shard(of: hashes.organisation)].state.withLock { state in
            let summary = state.summary(state.current(hashes.account, of: path), now: now)
            mark.include(state)
            return summary
        }
    }

    /// Prices a record against an account, and says what the account has for it. `noteTier` is lent the name of
    /// its tier.
    public func quote(
        _ keys: RecordKeys, record: borrowing UsageRecord, book: PriceBook, compare: Bool = false,
        now: Timestamp, mark: inout AnswerMark, into standing: inout QuoteStanding,
        noteTier: (ByteView) -> Void = { _ in }
    ) {
        shards[shard(of: keys.organisation)].state.withLock { state in
            state.quoteStanding(
                keys.account, record: record, book: book, compare: compare, now: now, into: &standing,
                noteTier: noteTier)
            mark.include(state)
        }
    }

    /// The sums over all accounts. Shards are read one after the other: exact when nothing moves.
    public func totals() -> ShardTotals {
        var totals = ShardTotals()
        for number in shards.indices { totals += shards[number].state.withLock { $0.totals } }
        return totals
    }

    /// Whether an organisation had more than twice its share of ids that history does not hold yet, since the last call:
    /// reports are refused if it goes on like that.
    public func takeIDPressure() -> Bool { shards.room.takePressure() }

    /// The same, without counting as a call.
    public var hasIDPressure: Bool { shards.room.hasPressure }

    /// How many request ids are remembered, and the bytes they take.
    public func rememberedIDs() -> (count: Int, bytes: Int) {
        var (count, bytes) = (0, 0)
        for number in shards.indices {
            shards[number].state.withLock { state in
                count += state.ids.count
                bytes += state.ids.bytes
            }
        }
        return (count, bytes)
    }
}
