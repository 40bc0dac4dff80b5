// Recovery: a shard from its checkpoint rows and the journal's chunks. Nothing is decided here.

import Bytes
import CPlatform
import Pricing

/// An account as a checkpoint keeps it: everything but the entries that made it.
public struct AccountRecord: Sendable {
    public var shard: Int
    public var number: UInt32
    public var path: ByteView
    /// Nanocredits, for people who look at the checkpoint.
    public var balance: Int64
    /// The rest, packed; see `AccountState`.
    public var state: ByteView

    public init(shard: Int, number: UInt32, path: ByteView, balance: Int64, state: ByteView) {
        self.shard = shard
        self.number = number
        self.path = path
        self.balance = balance
        self.state = state
    }
}

/// The packed state of an account in a checkpoint row.
///
///      version 2 | status | flags | overdraft | granted | charged | expired | tier
///      grants:     count, then id, kind, burn order, amount, remaining, expiry of each, in burn order
///      allowances: count, then rule, month, used of each
///      sections:   until the end, see `AccountSection`
///
/// Version 1 has no sections, and is read.
enum AccountState {
    static let version: UInt8 = 2
}

extension ShardState {
    /// Packs the state of an account.
    func packState(of number: UInt32, into packer: inout BytePacker) {
        let row = accounts[number]
        packer.append(byte: AccountState.version)
        packer.append(byte: row.status.rawValue)
        packer.append(byte: (row.ownsWallet ? 1 : 0) | (row.unlimited ? 2 : 0))
        packer.append(UInt64(row.overdraftLimit))
        packer.append(UInt64(row.granted))
        packer.append(UInt64(row.charged))
        packer.append(UInt64(side(of: number).expired))
        packer.append(prefixed: tier(row.tier))
        packer.append(UInt64(grantCount(of: number)))
        forEachGrant(of: number) { grant in
            packer.append(grant.id)
            packer.append(byte: grant.kind.rawValue)
            packer.append(UInt64(grant.burnOrder))
            packer.append(UInt64(grant.amount))
            packer.append(UInt64(grant.remaining))
            packer.append(grant.expiresAt.microseconds)
        }
        var count: UInt64 = 0
        var allowance = row.firstAllowance
        while allowance != AccountRow.none {
            count += 1
            allowance = allowances[allowance].next
        }
        packer.append(count)
        allowance = row.firstAllowance
        while allowance != AccountRow.none {
            let allowanceRow = allowances[allowance]
            packer.append(UInt64(allowanceRow.rule))
            packer.append(Int64(allowanceRow.month.count))
            packer.append(UInt64(allowanceRow.used))
            allowance = allowanceRow.next
        }
        packSections(of: number, into: &packer)
    }

    /// Takes an account from a checkpoint row. Rows of a shard come in the order of their numbers.
    mutating func restore(_ record: AccountRecord, hash: Hash128, ancestors: [Hash128]) throws(EntryError) {
        guard Int(record.number) == accounts.count else {
            throw .contradiction(
                shard: number, sequence: 0,
                what: "checkpoint row \(record.number) follows row \(accounts.count - 1)")
        }
        guard find(hash) == nil, formerNames.account(hash) == nil else {
            throw .contradiction(
                shard: number, sequence: 0, what: "account \(record.path.text) has two checkpoint rows")
        }
        do {
            var fields = ByteUnpacker(record.state)
            let version = try fields.byte()
            guard version == 1 || version == AccountState.version,
                let status = AccountStatus(rawValue: try fields.byte())
            else { throw UnpackingError(offset: 0) }
            let flags = try fields.byte()
            let overdraftLimit = try fields.amount()
            let granted = try fields.amount()
            let charged = try fields.amount()
            let expired = try fields.amount()
            let tier = try fields.prefixed()
            try check(tier: tier, sequence: 0)
            let account = addAccount(path: record.path, hash: hash, ancestors: ancestors, tier: tier)
            accounts[account].status = status
            accounts[account].ownsWallet = flags & 1 != 0
            accounts[account].unlimited = flags & 2 != 0
            accounts[account].overdraftLimit = overdraftLimit
            accounts[account].granted = granted
            accounts[account].charged = charged
            if expired > 0 { sides[makeSide(of: account)].expired = expired }
            accounts[account].balance = record.balance
            try restoreGrants(of: account, from: &fields)
            try restoreAllowances(of: account, from: &fields)
            if version > 1 { try restoreSections(of: account, from: &fields) }
            guard fields.isAtEnd else { throw UnpackingError(offset: fields.offset) }
            let (deducted, voided) = (side(of: account).deducted, side(of: account).voided)
            let taken = Int128(charged) + Int128(expired) + Int128(voided) + Int128(deducted)
            guard Int128(granted) == Int128(record.balance) + taken,
                Int128(expired) + Int128(voided) <= granted
            else {
                throw EntryError.contradiction(
                    shard: number, sequence: 0,
                    what: "account \(record.path.text): granted \(granted) is not balance \(record.balance)"
                        + " + charged \(charged) + expired \(expired) + voided \(voided) + deducted \(deducted)"
                )
            }
            totals.voided += Int128(voided)
            totals.deducted += Int128(deducted)
            totals.granted += Int128(granted)
            totals.charged += Int128(charged)
            totals.expired += Int128(expired)
            totals.balances += Int128(record.balance)
        } catch let error as EntryError {
            throw error
        } catch {
            throw .contradiction(
                shard: number, sequence: 0,
                what: "checkpoint row of \(record.path.text) cannot be read at byte \(error)")
        }
    }

    private mutating func restoreGrants(
        of account: UInt32, from fields: inout ByteUnpacker
    ) throws(UnpackingError) {
        for _ in 0..<(try fields.unsigned()) {
            let id = try fields.unsigned()
            let at = fields.offset
            guard let kind = GrantKind(rawValue: try fields.byte()),
                let burnOrder = UInt16(exactly: try fields.unsigned())
            else { throw UnpackingError(offset: at) }
            let amount = try fields.amount()
            let remaining = try fields.amount()
            guard id > 0, remaining > 0, remaining <= amount else { throw UnpackingError(offset: at) }
            let expiresAt = try fields.timestamp()
            addGrant(
                GrantRow(
                    id: id, remaining: remaining, amount: amount, expiresAt: expiresAt,
                    next: AccountRow.none, burnOrder: burnOrder, kind: kind),
                to: account)
        }
    }

    private mutating func restoreAllowances(
        of account: UInt32, from fields: inout ByteUnpacker
    ) throws(UnpackingError) {
        var rows: [AllowanceRow] = []
        for _ in 0..<(try fields.unsigned()) {
            let rule = try fields.unsigned32()
            let at = fields.offset
            guard let month = CalendarMonth(stored: try fields.signed()) else {
                throw UnpackingError(offset: at)
            }
            let used = try fields.amount()
            rows.append(AllowanceRow(used: used, rule: rule, month: month, next: AccountRow.none))
        }
        // Each goes to the front of the list, so the last comes first.
        for row in rows.reversed() { addAllowance(row, to: account) }
    }

    /// Asks for the lines that replaying a chunk will need, a while before it is replayed. What cannot be read
    /// is left to `replay` to refuse.
    func prefetch(_ chunk: ChunkReader) {
        var chunk = chunk
        do {
            while let (kind, body) = try chunk.nextFields() {
                guard kind == .charged else { continue }
                var fields = ByteUnpacker(body)
                let (wallet, keyLow) = try fields.chargePlaces()
                if Int(wallet) < accounts.count {
                    let row = unsafe UnsafeRawPointer(accounts.address(of: wallet))
                    unsafe tollgate_prefetch(row)
                    unsafe tollgate_prefetch(row + 64)
                }
                ids.prefetch(keyLow)
            }
        } catch {
            return
        }
    }

    /// Applies a chunk. Entries up to the checkpoint's sequence are in the accounts already: of those only
    /// the ids are remembered, unless history holds them.
    mutating func replay(
        _ chunk: inout ChunkReader, keys: KeyMaker, shardCount: Int, checkpoint: UInt64
    ) throws(EntryError) {
        guard chunk.head.firstSequence <= replayed + 1 || replayed == 0 else {
            throw .outOfSequence(shard: number, expected: replayed + 1, found: chunk.head.firstSequence)
        }
        while true {
            let at = chunk.nextSequence
            guard let (kind, body) = try chunk.nextFields() else { return }
            guard at > replayed else { continue }
            replayed = at
            var fields = ByteUnpacker(body)
            do {
                if at <= checkpoint {
                    try rememberOnly(kind, sequence: at, fields: &fields)
                } else {
                    guard at == sequence + 1 else {
                        throw EntryError.outOfSequence(shard: number, expected: sequence + 1, found: at)
                    }
                    try apply(kind, fields: &fields, keys: keys, shardCount: shardCount)
                }
            } catch let error as EntryError {
                throw error
            } catch {
                throw .badField(kind: kind.rawValue, atByte: 0)
            }
        }
    }

    /// Applies an entry whose fields fit the state: what does not is refused here, because applying
    /// cannot fail.
    private mutating func apply(
        _ kind: EntryKind, fields: inout ByteUnpacker, keys: KeyMaker, shardCount: Int
    ) throws {
        switch kind {
        case .charged:
            let (time, entry) = try fields.charge()
            try check(account: entry.account)
            try check(account: entry.wallet)
            let eventTime = try RecordContent.eventTime(of: entry.content)
            try check(entry)
            // Budgets look into the record.
            if budgetCount > 0 { _ = try RecordContent.read(entry.content) }
            applyCharge(entry, time: time, eventTime: eventTime)
            forgetCrossedBudgets()
        case .granted:
            let (time, entry) = try fields.grant()
            try check(account: entry.wallet, path: entry.path)
            try check(entry)
            applyGrant(entry, time: time)
        case .grantEnded:
            let (time, entry) = try fields.grantEnded()
            try check(account: entry.wallet, path: entry.path)
            try check(entry)
            applyGrantEnded(entry, time: time)
        case .accountOpened:
            let (time, entry) = try fields.accountOpened()
            let hashes = try check(entry, keys: keys, shardCount: shardCount)
            applyAccountOpened(entry, hash: hashes.account, ancestors: hashes.ancestors, time: time)
        case .accountChanged:
            let (time, entry) = try fields.accountChanged()
            try check(account: entry.account, path: entry.path)
            try check(tier: entry.tier, sequence: sequence + 1)
            applyAccountChanged(entry, time: time)
        case .parkedSettled, .parkedDiscarded:
            let (time, entry) = try fields.parkedEnd()
            let eventTime = try RecordContent.eventTime(of: entry.charge.content)
            try check(entry, kind: kind)
            if budgetCount > 0 { _ = try RecordContent.read(entry.charge.content) }
            applyParkedEnd(entry, kind: kind, time: time, eventTime: eventTime)
            forgetCrossedBudgets()
        case .grantedByAct, .transferredIn, .givenBack, .grantVoided, .deducted, .noted:
            try applyAct(kind, fields: &fields)
        case .held:
            let (time, entry) = try fields.holdOpened()
            try check(entry)
            applyHoldOpened(entry, time: time)
        case .holdEnded:
            let (time, entry) = try fields.holdEnded()
            try check(entry)
            applyHoldEnded(entry, time: time)
        case .holdChanged:
            let (time, entry) = try fields.holdChanged()
            try check(entry)
            applyHoldChanged(entry, time: time)
        case .holdOrphaned:
            let (time, entry) = try fields.orphaned()
            try check(account: entry.charge.account)
            try check(account: entry.charge.wallet)
            try check(entry)
            applyOrphaned(entry, time: time)
            forgetCrossedBudgets()
        case .budgetSet:
            let (time, entry) = try fields.budgetSet()
            try check(entry)
            applyBudgetSet(entry, time: time)
        case .budgetCrossed:
            let (time, entry) = try fields.budgetCrossed()
            try check(account: entry.account, path: entry.path)
            advance(to: time)
        case .accountMoved:
            let (time, entry) = try fields.accountMoved()
            try check(entry)
            applyAccountMoved(entry, time: time)
        }
    }

    private mutating func rememberOnly(
        _ kind: EntryKind, sequence at: UInt64, fields: inout ByteUnpacker
    ) throws {
        switch kind {
        case .charged:
            let (_, entry) = try fields.charge()
            remember(
                entry.key,
                RememberedOutcome(
                    digest: entry.digest, sequence: at, charge: entry.charge, state: entry.state),
                eventTime: try RecordContent.eventTime(of: entry.content).microseconds)
            if let hold = entry.hold {
                remember(
                    hold,
                    RememberedHold(digest: 0, sequence: at, state: .settled, amount: entry.holdReleased))
            }
            if let orphan = entry.orphan { rememberSettled(orphan, sequence: at) }
        case .holdOrphaned:
            let (_, entry) = try fields.orphaned()
            remember(entry.charge.key, try remembered(entry, sequence: at))
        case .holdEnded:
            let (_, entry) = try fields.holdEnded()
            remember(
                entry.key,
                RememberedHold(digest: 0, sequence: at, state: entry.state, amount: entry.amount))
        case .granted:
            let (time, entry) = try fields.grant()
            if let key = entry.key {
                remember(
                    key,
                    RememberedOutcome(
                        digest: entry.digest, sequence: at, charge: -entry.amount, state: .charged),
                    eventTime: time.microseconds)
            }
        case .parkedSettled, .parkedDiscarded:
            let (_, entry) = try fields.parkedEnd()
            rememberParkedEnd(
                entry, kind: kind, sequence: at,
                eventTime: try RecordContent.eventTime(of: entry.charge.content))
        case .grantedByAct, .transferredIn, .givenBack, .grantVoided, .deducted, .noted:
            try rememberAct(kind, sequence: at, fields: &fields)
        case .accountMoved:
            let (time, entry) = try fields.accountMoved()
            remember(entry.act, moved: 0, sequence: at, time: time)
        case .grantEnded, .accountOpened, .accountChanged, .held, .holdChanged, .budgetSet, .budgetCrossed:
            break
        }
    }

}

extension KeyMaker {
    /// The hashes of a path and of the paths upward, nearest first. The path must be within the grammar.
    func path(_ path: ByteView) -> (organisation: Hash128, account: Hash128, ancestors: [Hash128]) {
        let organisationCount = path.firstIndex(of: UInt8(ascii: "/")) ?? path.count
        let (organisation, account) = account(path, organisationCount: organisationCount)
        var ancestors: [Hash128] = []
        var current = path
        while let parent = AccountPath.parent(of: current) {
            ancestors.append(KeyedHasher.hash(parent, key: secret))
            current = parent
        }
        return (organisation, account, ancestors)
    }
}
