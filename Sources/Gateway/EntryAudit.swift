// The way an auditor takes: every entry from the first, one after the other, without the ledger's rules.
//
// Each says the balance that it left, so the first that is not the one before it plus what it moved is the one that
// breaks the books. The same holds for a hold that is released with another amount than it kept, for what is settled
// and was not parked, and for a request id that comes a second time.

import Bytes
import Ledger
import Store

/// Adds up what entries move and compares it with what they, the checkpoint and the ledger say.
struct EntryAudit {
    private struct Sums {
        var granted: Int128 = 0
        var charged: Int128 = 0
        var expired: Int128 = 0
        var voided: Int128 = 0
        var deducted: Int128 = 0
        /// By the entries that the checkpoint includes.
        var balanceInCheckpoint: Int128 = 0

        var balance: Int128 { granted - charged - expired - voided - deducted }
    }

    /// By what accounts are called now.
    private var accounts: [[UInt8]: Sums] = [:]
    private let moves: AccountMoves
    private var movesSeen = 0
    private var outcomes: [Hash128] = []
    private var parked = ParkedAudit()
    private var holds = HoldAudit()
    private var budgets: BudgetAudit
    private let checkpoint: [UInt64]
    private var sequences: [UInt64]
    private var lastLSN: UInt64 = 0

    /// - Parameters:
    ///   - ledger: which budgets there are; nil where they are not known.
    ///   - checkpoint: the sequence of each shard that the checkpoint includes; empty without one.
    ///   - moves: what accounts were called before; every one of them must have its entry.
    init(_ ledger: Ledger?, checkpoint: [UInt64], shardCount: Int, moves: AccountMoves) {
        budgets = BudgetAudit(ledger)
        self.moves = moves
        self.checkpoint = checkpoint
        sequences = [UInt64](repeating: 0, count: shardCount)
    }

    /// Goes through every entry. Throws the first that breaks an equation.
    ///
    /// - Parameter listedAsParked: what the history lists as parked and open.
    mutating func run(
        _ walk: EntryWalk, listedAsParked: [(shard: UInt16, sequence: UInt64)]
    ) throws {
        var parkedMismatch: (text: String, shard: Int, sequence: UInt64)?
        if walk.position.lsn == 0 { parkedMismatch = parked.mismatch(listed: listedAsParked) }
        do {
            try walk.forEach(
                compare: { row, entry, source in try compare(row, entry, source) },
                { entry, source in
                    do throws(Difference) {
                        try add(entry)
                    } catch {
                        throw Difference(error.text, entry.place(segment: source.segment, row: source.row))
                    }
                    if entry.lsn == walk.position.lsn {
                        parkedMismatch = parked.mismatch(listed: listedAsParked)
                    }
                    return true
                })
        } catch let difference as Difference {
            // An id that came twice before is an entry before.
            try checkOutcomes(walk)
            throw difference
        }
        try checkOutcomes(walk)
        if movesSeen < moves.moves.count {
            let move = moves.moves[movesSeen]
            throw Difference(
                "the history's list of moves says that LSN \(move.lsn) moves"
                    + " \(String(decoding: move.from, as: UTF8.self)), and no entry does",
                try walk.first { entry, _ in entry.lsn == move.lsn })
        }
        if let odd = parkedMismatch {
            throw Difference(
                odd.text,
                try walk.first { entry, _ in entry.shard == odd.shard && entry.sequence == odd.sequence })
        }
    }

    private func balance(of wallet: [UInt8]) -> Int128 { accounts[wallet]?.balance ?? 0 }

    /// Whether an entry's balance is the one before it and what it moves.
    private func fits(_ entry: AuditedEntry) -> Bool {
        guard let after = entry.balanceAfter else { return true }
        return balance(of: moves.current(entry.wallet, afterLSN: entry.lsn)) + Int128(entry.amount)
            == Int128(after)
    }

    private func compare(
        _ row: AuditedEntry, _ entry: AuditedEntry, _ source: EntryWalk.Source
    ) throws(Difference) {
        guard let difference = entry.difference(from: row) else { return }
        let fitting =
            switch (fits(entry), fits(row)) {
            case (true, false): "; the journal's fits the balance before it"
            case (false, true): "; the history's fits the balance before it"
            default: ""
            }
        throw Difference(
            "\(difference.what) is \(difference.mine) by the journal and \(difference.other) by the history"
                + fitting, entry.place(segment: source.segment, row: source.row))
    }

    private mutating func add(_ written: AuditedEntry) throws(Difference) {
        let entry = written.now(moves)
        guard entry.lsn == lastLSN + 1 else {
            throw Difference(
                entry.lsn > lastLSN
                    ? "LSN \(lastLSN + 1)\(entry.lsn == lastLSN + 2 ? "" : " to \(entry.lsn - 1)") is missing before it"
                    : "LSN \(lastLSN) comes before it")
        }
        lastLSN = entry.lsn
        guard sequences.indices.contains(entry.shard), entry.sequence == sequences[entry.shard] + 1 else {
            throw Difference(
                "it is entry \(entry.sequence) of shard \(entry.shard), which has"
                    + (sequences.indices.contains(entry.shard)
                        ? " \(sequences[entry.shard]) before it" : " none"))
        }
        sequences[entry.shard] = entry.sequence
        if let move = written.move { try check(move, lsn: written.lsn) }
        if entry.kind == TransactionKind.accountOpened {
            guard accounts[entry.account] == nil else { throw Difference("the account was opened before") }
            accounts[entry.account] = Sums()
        }
        guard accounts[entry.account] != nil, accounts[entry.wallet] != nil else {
            throw Difference("no entry before it opened its account")
        }
        if let after = entry.balanceAfter, !fits(entry) {
            throw Difference(
                "its wallet had \(balance(of: entry.wallet)) nanocredits before it, it moves \(entry.amount), and"
                    + " says that \(after) are left")
        }
        move(entry)
        try holds.add(entry)
        try parked.add(entry)
        budgets.add(written) { [moves] in moves.current($0, afterLSN: written.lsn) }
        if let outcome = entry.outcome, outcome.isOfRequest { outcomes.append(outcome.key) }
    }

    /// Sees that the list of moves has an entry's, next.
    private mutating func check(_ move: MoveFacts, lsn: UInt64) throws(Difference) {
        guard movesSeen < moves.moves.count, moves.moves[movesSeen].lsn == lsn,
            moves.moves[movesSeen].from == move.from, moves.moves[movesSeen].to == move.to
        else {
            throw Difference("the history's list of moves does not have it")
        }
        movesSeen += 1
    }

    private mutating func move(_ entry: AuditedEntry) {
        guard let sum = entry.sum else { return }
        let amount = Int128(entry.amount)
        let isInCheckpoint = !checkpoint.isEmpty && entry.sequence <= checkpoint[entry.shard]
        func add(to sums: inout Sums) {
            switch sum {
            case .granted: sums.granted += amount
            case .charged: sums.charged -= amount
            case .expired: sums.expired -= amount
            case .voided: sums.voided -= amount
            case .deducted: sums.deducted -= amount
            }
            if isInCheckpoint { sums.balanceInCheckpoint += amount }
        }
        add(to: &accounts[entry.wallet, default: Sums()])
    }

    /// Looks for a request id with two outcomes. Throws the first entry that is a second one.
    private mutating func checkOutcomes(_ walk: EntryWalk) throws {
        outcomes.sort { ($0.high, $0.low) < ($1.high, $1.low) }
        let doubled = Set(zip(outcomes, outcomes.dropFirst()).filter { $0 == $1 }.map(\.0))
        guard !doubled.isEmpty else { return }
        var firsts: [Hash128: UInt64] = [:]
        try walk.forEach { entry, source in
            guard let outcome = entry.outcome, outcome.isOfRequest, doubled.contains(outcome.key)
            else { return true }
            guard let first = firsts[outcome.key] else {
                firsts[outcome.key] = entry.lsn
                return true
            }
            throw Difference(
                "the request id \(String(decoding: outcome.requestID, as: UTF8.self)) has an outcome already, LSN"
                    + " \(first)", entry.place(segment: source.segment, row: source.row))
        }
    }

    /// Compares the checkpoint's rows with the entries that they include.
    func check(checkpoint rows: [[UInt8]: Int64], _ walk: EntryWalk) throws {
        guard !checkpoint.isEmpty else { return }
        var wrong: (path: [UInt8], found: Int64, expected: Int128?)?
        for (path, balance) in rows {
            let expected = accounts[moves.current(path, afterLSN: 0)]?.balanceInCheckpoint
            guard expected != Int128(balance), wrong.map({ path.lexicographicallyPrecedes($0.path) }) ?? true
            else { continue }
            wrong = (path, balance, expected)
        }
        guard let wrong else { return }
        let first = try walk.first(of: wrong.path)
        let name = String(decoding: wrong.path, as: UTF8.self)
        guard let expected = wrong.expected else {
            throw Difference("the checkpoint has an account \(name), which no entry opened")
        }
        throw Difference(
            "the checkpoint's row of account \(name) has a balance of \(wrong.found) nanocredits, its entries up to"
                + " the checkpoint come to \(expected); this is the first of them", first)
    }

    /// Compares with the ledger.
    func check(_ ledger: Ledger, _ walk: EntryWalk) throws {
        var left = accounts
        var wrong: (path: [UInt8], text: String)?
        ledger.forEachAccountSums { path, sums in
            let path = Array(path)
            guard wrong == nil else { return }
            guard let mine = left.removeValue(forKey: path) else {
                wrong = (path, "is in the checkpoint, and no entry opened it")
                return
            }
            let pairs = [
                ("has", sums.balance, mine.balance), ("was granted", sums.granted, mine.granted),
                ("was charged", sums.charged, mine.charged), ("lost by expiry", sums.expired, mine.expired),
                ("lost by voids", sums.voided, mine.voided),
                ("lost by deductions", sums.deducted, mine.deducted),
            ]
            if let (verb, found, expected) = pairs.first(where: { Int128($0.1) != $0.2 }) {
                wrong = (
                    path,
                    "\(verb) \(found) nanocredits by checkpoint and journal, \(expected) by the history; this is its"
                        + " first entry"
                )
            }
        }
        if wrong == nil, let path = left.keys.min(by: { $0.lexicographicallyPrecedes($1) }) {
            wrong = (path, "is opened by its entries, and not in checkpoint and journal; this is the first")
        }
        if let wrong {
            throw Difference(
                "account \(String(decoding: wrong.path, as: UTF8.self)) \(wrong.text)",
                try walk.first(of: wrong.path))
        }
        if let hold = holds.mismatch(ledger) {
            let first = try hold.lsn.map { lsn in try walk.first { entry, _ in entry.lsn == lsn } }
            throw Difference(hold.text, try first ?? walk.first(of: hold.account))
        }
        let (open, held) = holds.standing
        let totals = ledger.totals()
        guard totals.held == held, totals.holds == open else {
            throw Difference("open holds keep \(held) nanocredits, their sum is said to be \(totals.held)")
        }
        if let budget = budgets.mismatch() {
            let first = try budget.lsn.map { lsn in try walk.first { entry, _ in entry.lsn == lsn } }
            throw Difference(budget.text, try first ?? walk.first(of: budget.account))
        }
    }

    /// What was looked at, in words.
    var checks: [(part: String, found: String)] {
        func grouped(_ value: some BinaryInteger) -> String { VerificationReport.grouped(value) }
        var checks = [
            ("balances", "\(grouped(accounts.count)) recomputed from history and journal, to the nanocredit"),
            ("request ids", "\(grouped(outcomes.count)) outcomes, one for each id"),
        ]
        if holds.count > 0 {
            let (open, held) = holds.standing
            checks.append(
                (
                    "holds",
                    "\(grouped(open)) open of \(grouped(holds.count)), which keep \(grouped(held)) nanocredits"
                ))
        }
        if budgets.count > 0 {
            checks.append(
                ("budgets", "\(grouped(budgets.count)) counted again from the charges in their window"))
        }
        let (open, ended) = parked.counts
        if open + ended > 0 {
            checks.append(
                ("parked usage", "\(grouped(open)) open, \(grouped(ended)) settled or discarded, each once"))
        }
        return checks
    }
}
