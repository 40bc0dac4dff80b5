// Orphans: holds whose lease ends and whose report has not come.
//
//      open ──lease──→ expired, charged ──report──→ settled: charged what it costs more,
//                                                            or given back what it costs less
//
// What the end of a lease charges was fixed when the hold was opened, and is never above what it keeps: nobody owes
// more for a lost report than was set aside for it. The late report is a correction linked to that charge. What it
// gives back is a refund of it, in the entry behind the report's own, and nobody sees one without the other.

import Bytes
import Pricing

extension ShardState {
    /// What the end of a hold's lease would charge.
    struct OrphanTerms: ~Copyable {
        var charge: Int64 = 0
        var use = HoldUse()
    }

    /// Fixes what the end of the lease charges, at most `amount`; of a usage that was priced the policy says which
    /// part counts. `hasUsage` says whether `record` is one.
    func orphanTerms(
        _ policy: OrphanPolicy, amount: Int64, record: borrowing UsageRecord, hasUsage: Bool,
        of wallet: UInt32, tier: ByteView, book: PriceBook
    ) -> OrphanTerms {
        var terms = OrphanTerms()
        guard hasUsage else {
            if policy == .fullHold { terms.charge = amount }
            return terms
        }
        let counted = policy == .inputOnly ? record.inputOnly() : record.copy()
        // What prices as a whole and not without its output has no input cost to be told apart.
        guard case .priced(let priced) = book.price(counted, tier: tier) else { return terms }
        let cost = quotedCharge(priced, of: wallet, at: record.eventTime).charge
        terms.charge = policy == .fullHold ? amount : min(cost, amount)
        guard terms.charge > 0 else { return terms }
        terms.use.record = counted.estimate()
        terms.use.tier = tier
        terms.use.ruleNumber = priced.ruleNumber
        terms.use.ruleVersion = priced.ruleVersion
        terms.use.catalogueVersion = book.catalogueVersion
        terms.use.baseCost = priced.baseCost
        terms.use.standardTierUsed = priced.standardTierUsed
        return terms
    }

    /// Fixes what the end of a new hold's lease charges, by its policy, and what that is for. Valid until another is
    /// asked for.
    @inline(never)
    mutating func fixOrphan(
        _ entry: inout HoldOpenedEntry, record: borrowing UsageRecord, hasUsage: Bool, tier: ByteView,
        book: PriceBook
    ) {
        let orphan = orphanTerms(
            entry.orphan, amount: entry.amount, record: record, hasUsage: hasUsage, of: entry.wallet,
            tier: tier, book: book)
        guard orphan.charge > 0 else { return }
        entry.orphanCharge = orphan.charge
        useBytes.clear()
        orphan.use.append(to: &useBytes)
        entry.use = useBytes.view
    }

    /// What a hold is for; valid until another is asked for.
    mutating func use(of number: UInt32) -> HoldUse {
        useBytes.clear()
        holds.appendUse(of: number, to: &useBytes)
        return HoldUse(checked: useBytes.view)
    }

    /// Ends a lease: releases what it kept and charges the orphan, in one entry. False where the wallet's sums could
    /// not take the charge: then it is only released.
    @inline(never)
    mutating func endOrphan(_ number: UInt32, time: Timestamp) -> Bool {
        let row = holds[number]
        let charge = row.orphanCharge
        endExpiredGrants(of: row.wallet, time: time)
        let (after, overflow) = accounts[row.wallet].balance.subtractingReportingOverflow(charge)
        guard !overflow, !accounts[row.wallet].charged.addingReportingOverflow(charge).overflow else {
            return false
        }
        let use = use(of: number)
        var entry = OrphanedEntry()
        entry.policy = row.orphan
        entry.charge.account = row.account
        entry.charge.wallet = row.wallet
        entry.charge.walletPathCount = Int(accounts[row.wallet].pathCount)
        entry.charge.key = row.key
        entry.charge.digest = row.digest
        entry.charge.tier = use.tier
        entry.charge.baseCost = use.baseCost
        entry.charge.fee = charge
        entry.charge.ruleNumber = use.ruleNumber
        entry.charge.ruleVersion = use.ruleVersion
        entry.charge.catalogueVersion = use.catalogueVersion
        entry.charge.standardTierUsed = use.standardTierUsed
        entry.charge.hold = row.key
        entry.charge.holdReleased = row.amount
        entry.charge.holdExpired = true
        entry.charge.balanceAfter = after
        entry.charge.draws = draws(
            paying: charge, of: row.wallet,
            for: GrantUse(provider: use.record.provider, model: use.record.model))
        var record = use.record
        // What was estimated was priced for its event time; an amount is for when it was held.
        if record.eventTime.microseconds == 0 { record.eventTime = row.openedAt }
        record.account = path(of: row.account)
        record.credentialSource = row.source
        record.usageSource = .estimated
        holds.id(number).withView { id in
            record.requestID = id
            record.holdID = id
            orphanContent.clear()
            RecordContent.append(record, to: &orphanContent)
            entry.charge.content = orphanContent.view
            staged.append(time: time, entry)
            didStage()
            applyOrphaned(entry, time: time)
        }
        stageCrossedBudgets(time: time)
        orphanedHolds += 1
        orphanCharges += Int128(charge)
        return true
    }

    mutating func applyOrphaned(_ entry: OrphanedEntry, time: Timestamp) {
        takeCharge(entry.charge, time: time, holdEndsAs: .expired)
        if budgetCount > 0 { countInBudgets(entry.charge, time: time) }
    }

    /// What is remembered of a hold whose end charged its orphan.
    func remembered(_ entry: OrphanedEntry, sequence: UInt64) throws(UnpackingError) -> RememberedHold {
        RememberedHold(
            digest: 0, sequence: sequence, state: .expired, amount: entry.charge.charge,
            orphan: try orphan(of: entry.charge))
    }

    /// Whom the end of a lease charged.
    private func orphan(of charge: ChargeEntry) throws(UnpackingError) -> RememberedOrphan {
        let record = try RecordContent.read(charge.content)
        return RememberedOrphan(
            account: charge.account, wallet: charge.wallet, source: record.credentialSource ?? .platform,
            tokens: RecordContent.tokens(of: record.usage))
    }

    /// The same of an entry that was read before, or is being written.
    func checkedOrphan(of charge: ChargeEntry) -> RememberedOrphan {
        do throws(UnpackingError) {
            return try orphan(of: charge)
        } catch {
            preconditionFailure("a charge's record was read before, yet \(error)")
        }
    }

    // MARK: - The report that comes after all

    /// Links a late report to what its hold's orphan was charged. Returns why it may not.
    func linkOrphan(
        _ past: RememberedHold, hold key: Hash128, _ record: borrowing UsageRecord, _ entry: inout ChargeEntry
    ) -> Refusal? {
        guard let orphan = past.orphan else { return nil }
        guard orphan.account == entry.account else { return Refusal(.holdNotFound, field: .account) }
        guard orphan.source == record.credentialSource else {
            return Refusal(.credentialMismatch, field: .credentialSource)
        }
        entry.orphan = OrphanLink(
            hold: key, sequence: past.sequence, charge: past.amount, tokens: orphan.tokens,
            wallet: orphan.wallet)
        return nil
    }

    /// What of an orphan's charge stands now: an administrator may have refunded some of it.
    func standing(_ orphan: OrphanLink) -> OrphanLink {
        var orphan = orphan
        orphan.charge = max(0, orphan.charge - refunded(of: orphan.sequence))
        return orphan
    }

    /// How a hold ended that is not open, as far as memory or the history know.
    func past(_ key: Hash128, _ history: HistoryAnswer) -> RememberedHold? {
        if let past = ids.hold(key) { return past }
        if case .holdEnded(let found) = history { return remembered(found) }
        return nil
    }

    /// How a hold ended, from the history; nil where its account was moved a moment ago, together with one above
    /// it, and the history does not have that yet.
    private func remembered(_ past: PastHold) -> RememberedHold? {
        guard past.orphanCharge > 0 else {
            return RememberedHold(
                digest: 0, sequence: past.sequence, state: past.state,
                amount: min(max(past.amount, 0), HoldLimits.amountMax))
        }
        guard let account = find(past.account) ?? formerNames.account(past.account),
            let wallet = find(past.wallet) ?? formerNames.account(past.wallet)
        else { return nil }
        return RememberedHold(
            digest: 0, sequence: past.sequence, state: past.state, amount: past.orphanCharge,
            orphan: RememberedOrphan(
                account: account, wallet: wallet, source: past.source, tokens: past.orphanTokens))
    }

    /// Why a charge with an orphan could not give back what it has to. Decided before anything is staged.
    func giveBackFault(_ entry: ChargeEntry) -> Refusal? {
        guard let orphan = entry.orphan, case let amount = entry.givenBack, amount > 0 else { return nil }
        let wallet = accounts[orphan.wallet]
        // The charge itself is zero then, so the sums are as they are now.
        guard !wallet.balance.addingReportingOverflow(amount).overflow,
            !wallet.granted.addingReportingOverflow(amount).overflow
        else { return Refusal(.invalidArgument, field: .amount, found: amount, expected: .max) }
        return nil
    }

    /// Gives back what the orphan was charged beyond its report, in the entry behind the charge, which was applied.
    /// The wallet may have as many grants as it may already: this credit was its own, and it is spent first.
    @inline(never)
    mutating func giveBack(_ charge: ChargeEntry, holdID: ByteView, time: Timestamp, receipt: inout Receipt) {
        guard let orphan = charge.orphan else { return }
        receipt.orphanCharge = orphan.charge
        let amount = charge.givenBack
        guard amount > 0 else { return }
        var entry = GrantEntry()
        entry.wallet = orphan.wallet
        entry.path = path(of: orphan.wallet)
        entry.kind = .refund
        entry.isGivenBack = true
        // It burns before all others, so that many of them do not pile up in the wallet.
        entry.burnOrder = 0
        entry.amount = amount
        entry.debtRepaid = min(amount, debt(of: orphan.wallet))
        entry.balanceAfter = accounts[orphan.wallet].balance + amount
        entry.refundOf = ChargeLink(
            sequence: orphan.sequence, charged: orphan.charge + refunded(of: orphan.sequence),
            requestID: holdID)
        Self.giveBackSource.withView { source in
            Self.giveBackReason.withView { reason in
                entry.source = source
                entry.reason = reason
                staged.append(time: time, entry)
                didStage()
                applyGrant(entry, time: time)
            }
        }
        receipt.givenBack = amount
        if orphan.wallet == charge.wallet { receipt.balance = entry.balanceAfter }
        receipt.inDebt = receipt.balance < 0
    }

    private static let giveBackSource: StaticString = "orphan_correction"
    private static let giveBackReason: StaticString =
        "the report came after the lease, and cost less than its orphan was charged"

    /// A late report settles its hold: a second one is refused.
    mutating func rememberSettled(_ orphan: OrphanLink, sequence: UInt64) {
        remember(
            orphan.hold,
            RememberedHold(digest: 0, sequence: sequence, state: .settled, amount: orphan.charge),
            isOfOrphan: true)
    }

    // MARK: - What replay refuses

    func check(_ entry: OrphanedEntry) throws(EntryError) {
        try check(entry.charge)
        do throws(UnpackingError) {
            _ = try RecordContent.read(entry.charge.content)
        } catch {
            throw contradiction("the record of an orphan's charge cannot be read at byte \(error.offset)")
        }
    }

    func check(_ orphan: OrphanLink) throws(EntryError) {
        try check(account: orphan.wallet)
        guard orphan.sequence > 0, orphan.sequence <= sequence else {
            throw contradiction(
                "a report corrects the orphan's charge \(orphan.sequence), which is yet to come")
        }
    }
}

extension StaticString {
    fileprivate func withView(_ body: (ByteView) -> Void) {
        unsafe body(ByteView(utf8Start, count: utf8CodeUnitCount))
    }
}
