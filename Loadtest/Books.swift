// The books of a run, kept from the answers alone: what each account was charged, and whether the gateway
// told the same story twice.

/// What one thread learned from its answers.
struct Books: Sendable {
    /// Nanocredits charged to each account by first outcomes; empty if the books are not kept.
    private(set) var charges: [Int64]
    private(set) var charged = 0
    private(set) var parked = 0
    private(set) var duplicates = 0
    private(set) var quotes = 0
    private(set) var holds = 0
    private(set) var refused: [String: Int] = [:]
    /// Answers that contradict an earlier one, or that no honest gateway gives.
    private(set) var contradictions = 0
    private(set) var firstContradiction: String?
    /// Records that ended without an answer.
    var unanswered = 0

    init(accounts: Int, isKept: Bool) {
        charges = isKept ? [Int64](repeating: 0, count: accounts) : []
    }

    var answered: Int { charged + parked + duplicates + quotes + holds }
    var refusedCount: Int { refused.values.reduce(0, +) }

    /// An answer to a record that was answered for the first time.
    @inline(__always)
    mutating func noteFirst(_ receipt: ScannedReceipt, account: UInt32, mayBeDuplicate: Bool) {
        if receipt.isDuplicate && !mayBeDuplicate {
            contradict("a request id that was sent once is called a duplicate, sequence \(receipt.sequence)")
        }
        if receipt.isParked { parked += 1 } else { charged += 1 }
        if !charges.isEmpty { charges[Int(account)] += receipt.charge }
    }

    /// The answer to a record that was sent again after its first answer.
    mutating func noteRepeated(_ receipt: ScannedReceipt, firstSequence: UInt64, firstCharge: Int64) {
        duplicates += 1
        if !receipt.isDuplicate {
            contradict("a repeated request id was charged again, sequence \(receipt.sequence)")
        } else if receipt.sequence != firstSequence || receipt.charge != firstCharge {
            contradict(
                "a repeated request id has sequence \(receipt.sequence) and charge \(receipt.charge), "
                    + "at first it had \(firstSequence) and \(firstCharge)")
        }
    }

    mutating func noteQuote() { quotes += 1 }

    mutating func noteHold() { holds += 1 }

    mutating func noteRefused(_ reason: String) { refused[reason, default: 0] += 1 }

    mutating func contradict(_ what: String) {
        contradictions += 1
        if firstContradiction == nil { firstContradiction = what }
    }

    /// Adds another thread's books to these.
    mutating func add(_ other: Books) {
        for index in charges.indices { charges[index] += other.charges[index] }
        charged += other.charged
        parked += other.parked
        duplicates += other.duplicates
        quotes += other.quotes
        holds += other.holds
        refused.merge(other.refused, uniquingKeysWith: +)
        contradictions += other.contradictions
        firstContradiction = firstContradiction ?? other.firstContradiction
        unanswered += other.unanswered
    }
}

/// The comparison of the books with the gateway's balances, in nanocredits.
struct Conservation: Sendable {
    private(set) var opening: Int128 = 0
    private(set) var balances: Int128 = 0
    private(set) var charges: Int128 = 0
    /// Accounts for which opening and charge do not give the balance.
    private(set) var differing = 0
    private(set) var firstDifferences: [String] = []

    /// - Parameters: balances before and after the run, and what the answers say was charged, for each
    ///   account in the same order.
    init(opening: [Int64], closing: [Int64], charges: [Int64], name: (Int) -> String) {
        precondition(opening.count == closing.count && closing.count == charges.count)
        for index in opening.indices {
            self.opening += Int128(opening[index])
            balances += Int128(closing[index])
            self.charges += Int128(charges[index])
            let expected = Int128(opening[index]) - Int128(charges[index])
            guard expected != Int128(closing[index]) else { continue }
            differing += 1
            if firstDifferences.count < 10 {
                firstDifferences.append(
                    "\(name(index)): opening \(opening[index]) - charges \(charges[index]) "
                        + "is \(expected), the gateway says \(closing[index])")
            }
        }
    }

    var holds: Bool { differing == 0 && opening == balances + charges }
}
