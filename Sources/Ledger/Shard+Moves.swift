// Moving an account to another place of its organisation's tree, with everything below it.
//
//      acme/search          ──move to acme/labs/search──→   acme/labs/search
//      acme/search/alice                                    acme/labs/search/alice
//
// The account stays the one it is: its number, and with it wallet, grants, debt, allowances, budgets and what they
// counted, tier, status and history. What it takes from above (wallet, tier, budgets, suspension) is what is above it
// now. Its old path goes on leading to it (see FormerNames). An organisation's ids and its lock are its own, so a
// move stays within one; that also makes it one step, seen by nobody half done.
//
// Open holds go with their account. What one kept of a wallet that stays behind, it keeps of the wallet at the new
// place, which must have it to spare: a hold is a promise, and its settlement is charged where its account draws by
// then.

import Bytes
import Pricing

/// An account to be moved.
public struct AccountMove: Hashable, Sendable {
    /// Its path, or a former name of it.
    public var from: [UInt8]
    /// Its path from now on; the account above it must be there.
    public var to: [UInt8]
    /// Who moves it, and why, for people.
    public var actor: [UInt8] = []
    public var reason: [UInt8] = []
    /// Asking again with the same key and the same content moves nothing twice.
    public var idempotencyKey: [UInt8]?

    public init(from: [UInt8], to: [UInt8]) {
        self.from = from
        self.to = to
    }

    /// What is digested to tell a retry from another act; acts on credit have other tags.
    private static let tag: UInt8 = 105

    func append(to packer: inout BytePacker) {
        packer.append(byte: Self.tag)
        for text in [from, to, actor, reason] { text.withView { packer.append(prefixed: $0) } }
    }
}

/// Why an account is not moved; nothing was changed. Amounts are in nanocredits.
public enum MoveProblem: Hashable, Sendable {
    /// It is an organisation: what moves, moves within one.
    case isOrganisation
    /// The path is another organisation's.
    case otherOrganisation
    /// The path is below the account itself.
    case belowItself
    /// An account is there, or below there.
    case exists([UInt8])
    /// The path, or one below it that would be an account's, is a former name of another account.
    case formerName([UInt8], of: [UInt8])
    /// There is no account above the path; where the account went that had the name, if one had.
    case noParent([UInt8], movedTo: [UInt8]?)
    /// The account above the path is closed.
    case parentClosed([UInt8])
    /// The account owns no wallet, and there is none above the path.
    case noWallet
    /// The account has no tier of its own, and there is none above the path.
    case noTier
    /// A path would be outside the grammar: too long or too deep.
    case badPath([UInt8], AccountPath.Fault)
    /// So many accounts would move.
    case tooMany(Int)
    /// It has so many former names.
    case tooManyNames
    /// Open holds keep credit of a wallet that stays behind, and the wallet at the new place has less.
    case holdsNotCovered(held: Int64, available: Int64, wallet: [UInt8])
}

/// The hashes of a move.
struct MoveKeys {
    var from: Hash128
    var key: Hash128?
    var digest: UInt64
}

extension ShardState {
    /// Decides a move, stages its entry and applies it. O(accounts of the shard) for finding those below.
    mutating func move(_ order: AccountMove, keys: MoveKeys, now: Timestamp, history: HistoryAnswer)
        -> CreditAnswer
    {
        guard let account = find(order.from.withView { current(keys.from, of: $0) }),
            let wallet = standing(of: account).wallet
        else { return .refused(Refusal(.accountNotFound, field: .account)) }
        if let first = firstAct(keys.key, digest: keys.digest, wallet: wallet, history: history) {
            return CreditAnswer(first)
        }
        // As an account that is closed already: asked again without its key, it is where it was to go.
        if Array(path(of: account)) == order.to {
            return .done(
                ActReceipt(sequence: sequence, duplicate: true, balance: accounts[wallet].balance))
        }
        guard standing(of: account).status != .closed else {
            return .refused(Refusal(.accountClosed, field: .account))
        }
        let moving = subtree(of: account)
        if let problem = placeProblem(moving, of: account, to: order.to) { return .problem(.move(problem)) }
        let parent = parentNumber(of: order.to) ?? AccountRow.none
        let above = standing(of: parent)
        if above.status == .closed { return .problem(.move(.parentClosed(Array(path(of: parent))))) }
        let time = entryTime(now)
        expireHolds(until: time)
        if !accounts[account].ownsWallet {
            guard let other = above.wallet else { return .problem(.move(.noWallet)) }
            endExpiredGrants(of: other, time: time)
            if let problem = holdsProblem(moving, to: other) { return .problem(.move(problem)) }
        }
        if above.tier == AccountRow.inheritedTier, accounts[account].tier == AccountRow.inheritedTier,
            standing(of: account).tier != AccountRow.inheritedTier
        {
            return .problem(.move(.noTier))
        }
        // Rows only ever take more room until a restart.
        guard paths.count + moving.count * AccountPath.bytesMax <= Int(UInt32.max) else {
            return .refused(Refusal(.overloaded))
        }
        let before = accounts[wallet].balance
        let texts = [
            Array(path(of: account)), order.to, order.idempotencyKey ?? [], order.actor, order.reason,
        ]
        texts.withViews { views in
            var entry = AccountMovedEntry()
            entry.account = account
            entry.count = UInt32(moving.count)
            entry.from = views[0]
            entry.to = views[1]
            entry.act.key = keys.key
            entry.act.digest = keys.digest
            entry.act.idempotencyKey = views[2]
            entry.act.actor = views[3]
            entry.act.reason = views[4]
            staged.append(time: time, entry)
            didStage()
            applyAccountMoved(entry, time: time)
        }
        let payer = standing(of: account).wallet ?? wallet
        return .done(
            ActReceipt(
                sequence: sequence, duplicate: false, balance: accounts[payer].balance, balanceBefore: before)
        )
    }

    // MARK: - What stands in the way

    /// Why the accounts cannot be under the path, whatever is known of wallets and holds. Replay asks it too.
    private func placeProblem(_ moving: [UInt32], of account: UInt32, to target: [UInt8]) -> MoveProblem? {
        let from = Array(path(of: account))
        guard from.contains(UInt8(ascii: "/")) else { return .isOrganisation }
        let organisation = from.prefix { $0 != UInt8(ascii: "/") }
        guard target.starts(with: Array(organisation) + [UInt8(ascii: "/")]) else {
            return .otherOrganisation
        }
        if target.starts(with: from + [UInt8(ascii: "/")]) { return .belowItself }
        guard moving.count <= MoveLimits.accountsMax else { return .tooMany(moving.count) }
        guard parentNumber(of: target) != nil else {
            let parent = AccountPath.parent(of: target) ?? target
            return .noParent(parent, movedTo: parent.withView { currentPath(of: $0) })
        }
        if let there = firstAccount(at: target) { return .exists(Array(path(of: there))) }
        for number in moving {
            let new = target + Array(path(of: number)).dropFirst(from.count)
            do throws(AccountPath.Fault) {
                _ = try new.withView { (new) throws(AccountPath.Fault) in
                    try AccountPath.organisationCount(of: new)
                }
            } catch {
                return .badPath(new, error)
            }
            if let owner = formerNames.account(hash(new)), owner != number {
                return .formerName(new, of: Array(path(of: owner)))
            }
        }
        let names = knownNames(of: account, atMost: MoveLimits.namesMax + 1)
        return names.count > MoveLimits.namesMax ? .tooManyNames : nil
    }

    /// What `wallet` is to keep after a move, because the wallet that keeps it now stays behind. A hold whose account has
    /// a wallet of its own on the way since stays where it is.
    private func heldElsewhere(_ moving: [UInt32], to wallet: UInt32) -> Int128 {
        let inside = Set(moving)
        var sum: Int128 = 0
        holds.forEach { _, hold in
            guard inside.contains(hold.account), !inside.contains(hold.wallet), hold.wallet != wallet,
                let now = standing(of: hold.account).wallet, !inside.contains(now)
            else { return }
            sum += Int128(hold.amount)
        }
        return sum
    }

    /// Why the holds that keep credit of a wallet which stays behind cannot keep it of `wallet`.
    private func holdsProblem(_ moving: [UInt32], to wallet: UInt32) -> MoveProblem? {
        let sum = heldElsewhere(moving, to: wallet)
        guard sum > 0 else { return nil }
        let isTooMuch = Int64(exactly: sum + Int128(accounts[wallet].held)) == nil
        let available = available(of: wallet)
        guard isTooMuch || (sum > Int128(available) && !accounts[wallet].unlimited) else { return nil }
        return .holdsNotCovered(
            held: Int64(clamping: sum), available: available, wallet: Array(path(of: wallet)))
    }

    /// The account directly above a path.
    private func parentNumber(of target: [UInt8]) -> UInt32? {
        AccountPath.parent(of: target).flatMap { find(hash($0)) }
    }

    /// An account at a path, or one below it. O(accounts of the shard).
    private func firstAccount(at target: [UInt8]) -> UInt32? {
        target.withView { target in
            for number in 0..<UInt32(accounts.count) {
                guard Int(accounts[number].pathCount) >= target.count else { continue }
                let path = path(of: number)
                if path == target || path.isBelow(target) { return number }
            }
            return nil
        }
    }

    /// An account and all below it, in the order of their numbers. O(accounts of the shard).
    private func subtree(of account: UInt32) -> [UInt32] {
        let top = path(of: account)
        var found: [UInt32] = []
        for number in 0..<UInt32(accounts.count) {
            guard Int(accounts[number].pathCount) >= top.count else { continue }
            if number == account || path(of: number).isBelow(top) { found.append(number) }
        }
        return found
    }

    // MARK: - Applying

    mutating func applyAccountMoved(_ entry: AccountMovedEntry, time: Timestamp) {
        advance(to: time)
        let (from, to) = (Array(entry.from), Array(entry.to))
        let moving = subtree(of: entry.account)
        let known = knownNames(of: entry.account, atMost: MoveLimits.namesMax + 1)
        let held = holds(of: Set(moving))
        if budgetCount > 0 {
            for hold in held { changeHeldInBudgets(holds[hold], cost: holds[hold].amount, by: -1) }
        }
        for number in moving { rename(number, to + Array(path(of: number)).dropFirst(from.count)) }
        guard let parent = parentNumber(of: to) else {
            preconditionFailure("an account is moved below one that is there")
        }
        accounts[entry.account].parent = parent
        hasLevels = true
        for number in moving where number != entry.account { noteMissingParents(of: number) }
        _ = makeSide(of: entry.account)
        for name in known where name != to {
            formerNames.add(name, hash: hash(name), of: entry.account)
        }
        rehome(held, from: Set(moving))
        if budgetCount > 0 {
            for hold in held { changeHeldInBudgets(holds[hold], cost: holds[hold].amount, by: 1) }
        }
        remember(entry.act, moved: 0, sequence: sequence, time: time)
    }

    private mutating func rename(_ number: UInt32, _ name: [UInt8]) {
        let hash = hash(name)
        // A name that the account had before is its own again.
        formerNames.remove(name, hash: hash)
        accounts[number].pathOffset = UInt32(paths.count)
        accounts[number].pathCount = UInt8(name.count)
        accounts[number].hash = hash
        name.withView { paths.append(bytes: $0) }
        index.insert(moved: hash, number: number, rows: accounts)
        markDirty(number)
    }

    /// Notes which paths between an account and the one above it are nobody's: who opens one becomes its parent.
    private mutating func noteMissingParents(of number: UInt32) {
        var name = Array(path(of: number))
        while let above = AccountPath.parent(of: name), find(hash(above)) == nil {
            missingParents.insert(hash(above))
            name = above
        }
    }

    /// The open holds of accounts, in the order in which they were opened.
    private func holds(of moving: Set<UInt32>) -> [UInt32] {
        var found: [(sequence: UInt64, hold: UInt32)] = []
        holds.forEach { number, hold in
            if moving.contains(hold.account) { found.append((hold.sequence, number)) }
        }
        return found.sorted { $0.sequence < $1.sequence }.map(\.hold)
    }

    /// Lets holds whose wallet stays behind keep credit of the one that their account draws on now.
    private mutating func rehome(_ held: [UInt32], from moving: Set<UInt32>) {
        for number in held {
            let (account, wallet) = (holds[number].account, holds[number].wallet)
            guard !moving.contains(wallet), let other = standing(of: account).wallet, other != wallet,
                !moving.contains(other)
            else { continue }
            move(hold: number, to: other)
        }
    }

    // MARK: - What replay refuses

    func check(_ entry: AccountMovedEntry) throws(EntryError) {
        try check(account: entry.account, path: entry.from)
        let moving = subtree(of: entry.account)
        if let problem = placeProblem(moving, of: entry.account, to: Array(entry.to)) {
            throw contradiction(
                "\(entry.from.text) is moved to \(entry.to.text), where it cannot be: \(problem)")
        }
        guard moving.count == Int(entry.count) else {
            throw contradiction(
                "\(entry.from.text) is moved with \(entry.count) accounts, and \(moving.count) are there")
        }
        if !accounts[entry.account].ownsWallet {
            guard let wallet = standing(of: parentNumber(of: Array(entry.to)) ?? AccountRow.none).wallet
            else {
                throw contradiction("\(entry.to.text) has no wallet above it")
            }
            guard Int64(exactly: Int128(accounts[wallet].held) + heldElsewhere(moving, to: wallet)) != nil
            else {
                throw contradiction("the holds of \(entry.to.text) do not fit in 64 bits")
            }
        }
    }

    // MARK: - Records under a former name

    /// The canonical form of a record as if it had come under the account's path of now, until the next one is made.
    @inline(never)
    mutating func content(_ content: ByteView, under account: UInt32) -> ByteView {
        renamed.clear()
        Self.append(content, account: path(of: account), to: &renamed)
        return renamed.view
    }

    /// Whether a digest is that of a record which came under another name of its account.
    @inline(never)
    func isSame(_ first: UInt64, _ content: ByteView, of path: ByteView) -> Bool {
        var packer = BytePacker(capacity: content.count + AccountPath.bytesMax)
        return isSame(first, of: path) { name in
            packer.clear()
            Self.append(content, account: name, to: &packer)
            return keys.digest(packer.view)
        }
    }

    /// Appends the canonical form of a record with another account in it.
    private static func append(_ content: ByteView, account: ByteView, to packer: inout BytePacker) {
        var fields = ByteUnpacker(content)
        do throws(UnpackingError) {
            packer.append(try fields.timestamp().microseconds)
            _ = try fields.prefixed()
        } catch {
            preconditionFailure("a record was packed by this process, yet \(error)")
        }
        packer.append(prefixed: account)
        packer.append(bytes: content[fields.offset..<content.count])
    }
}

extension AccountPath {
    /// The path one level up, or nil at the top.
    static func parent(of path: [UInt8]) -> [UInt8]? {
        path.lastIndex(of: UInt8(ascii: "/")).map { Array(path[..<$0]) }
    }
}

extension Ledger {
    /// Moves an account, and all below it, to another place of its organisation's tree. `mark` is moved on to what the
    /// answer waits for.
    public func move(
        _ order: AccountMove, now: Timestamp, history: HistoryAnswer = .notAsked, mark: inout AnswerMark
    ) throws(AccountPath.Fault) -> CreditAnswer {
        let (organisation, from) = try order.from.withView { (path) throws(AccountPath.Fault) in
            keys.account(path, organisationCount: try AccountPath.organisationCount(of: path))
        }
        _ = try order.to.withView { (path) throws(AccountPath.Fault) in
            try AccountPath.organisationCount(of: path)
        }
        var packer = BytePacker(capacity: 512)
        order.append(to: &packer)
        let moveKeys = MoveKeys(
            from: from,
            key: order.idempotencyKey.map { $0.withView { keys.act($0, organisation: organisation) } },
            digest: keys.digest(packer.view))
        let number = shard(of: organisation)
        return shards[number].state.withLock { state in
            state.historySequence = lookahead[number].historySequence.load(ordering: .relaxed)
            let answer = state.move(order, keys: moveKeys, now: now, history: history)
            mark.include(state)
            note(number, state)
            return answer
        }
    }

    /// What a path is by now that is a former name, or lies below one; nil where neither is so, and outside the
    /// grammar. There need not be an account under it.
    public func currentPath(of path: ByteView) -> [UInt8]? {
        do throws(AccountPath.Fault) {
            let (organisation, _) = keys.account(
                path, organisationCount: try AccountPath.organisationCount(of: path))
            return shards[shard(of: organisation)].state.withLock { $0.currentPath(of: path) }
        } catch {
            return nil
        }
    }

    /// Every name under which the account may have been told of that a path names, its own first; none without such
    /// an account, and where nothing was moved.
    public func knownNames(of path: ByteView) -> [[UInt8]] {
        do throws(AccountPath.Fault) {
            let (organisation, hash) = keys.account(
                path, organisationCount: try AccountPath.organisationCount(of: path))
            return shards[shard(of: organisation)].state.withLock { state in
                guard !state.formerNames.isEmpty, let account = state.find(state.current(hash, of: path))
                else { return [] }
                return state.knownNames(of: account)
            }
        } catch {
            return []
        }
    }
}
