// What is written is what is read: every kind of entry with every field different, at every length, and
// nothing else. A chunk that is cut anywhere is refused.

import Bytes
import Pricing
import Testing

@testable import Ledger

@Suite("the entry codec")
struct EntryCodecTests {
    /// Fields by name, as text; views as their bytes.
    private func fields(_ value: Any) -> [String: String] {
        var fields: [String: String] = [:]
        for child in Mirror(reflecting: value).children {
            let name = child.label ?? "?"
            if let view = child.value as? ByteView {
                fields[name] = "\(Array(view))"
            } else if child.value is ActDetails || child.value is ChargeLink? {
                for (inner, value) in self.fields(child.value) { fields["\(name).\(inner)"] = value }
            } else if child.value is ChargeLink {
                for (inner, value) in self.fields(child.value) { fields["\(name).\(inner)"] = value }
            } else if let draws = child.value as? PackedDraws {
                fields[name] = "\(draws.draws)"
            } else {
                fields[name] = "\(child.value)"
            }
        }
        return fields
    }

    /// Expects that `read` is `written`, and that no field of it was left as it is in a new entry.
    private func expectSame(
        _ read: Any, _ written: Any, new: Any, except: Set<String> = [],
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(fields(read) == fields(written), sourceLocation: sourceLocation)
        for (name, value) in fields(written) where !except.contains(name) {
            #expect(value != fields(new)[name], "\(name) is not tested", sourceLocation: sourceLocation)
        }
    }

    /// Reads the entries of a chunk while they are valid.
    private func read(_ chunk: [UInt8], _ body: (Timestamp, Entry) throws -> Void) throws {
        try chunk.withView { (view) throws in
            var reader = try ChunkReader(view)
            while let (time, entry) = try reader.next() { try body(time, entry) }
        }
    }

    private func chunk(_ count: Int = 1, _ write: (inout BytePacker) -> Void) -> [UInt8] {
        var packer = BytePacker(capacity: 16)
        packer.append(UInt64(3))
        packer.append(UInt64(1))
        packer.append(UInt64(count))
        write(&packer)
        return Array(packer.view)
    }

    private let time = Timestamp(microseconds: 1_768_435_200_123_456)

    private func charge(tier: ByteView, content: ByteView) -> ChargeEntry {
        var entry = ChargeEntry()
        entry.standardTierUsed = true
        entry.account = 0x1_0001
        entry.wallet = 0x1_0000
        entry.key = Hash128(low: 0x1122_3344_5566_7788, high: 0x99aa_bbcc_ddee_ff00)
        entry.digest = 0x0123_4567_89ab_cdef
        entry.baseCost = 5_000_000_000
        entry.fee = 8_000_000_001
        entry.allowanceUsed = 3
        entry.month = CalendarMonth(count: -13)
        entry.ruleNumber = 300
        entry.ruleVersion = .max
        entry.catalogueVersion = 70_000
        entry.balanceAfter = -9_000_000_000_000_000_000
        entry.tier = tier
        entry.walletPathCount = 128
        entry.hold = Hash128(low: 9, high: 11)
        entry.holdReleased = 77
        entry.holdExpired = true
        entry.content = content
        return entry
    }

    @Test("a charge keeps every field")
    func charges() throws {
        let draws = [Draw(grant: 1, amount: 1), Draw(grant: .max, amount: .max)]
        try "professional".withView { (tier) throws in
            try "what was used".withView { (content) throws in
                var packed = BytePacker()
                for draw in draws { packed.append(draw) }
                var written = charge(tier: tier, content: content)
                written.draws = PackedDraws(count: draws.count, bytes: packed.view)
                try read(chunk { $0.append(time: time, written) }) { readTime, entry in
                    guard case .charged(let charge) = entry else {
                        Issue.record("another kind")
                        return
                    }
                    #expect(readTime == time)
                    #expect(charge.draws.draws == draws)
                    expectSame(
                        charge, written, new: ChargeEntry(), except: ["state", "parkedReason", "orphan"])
                }
            }
        }
    }

    @Test("a parked report keeps its reason", arguments: Reason.allCases)
    func parked(reason: Reason) throws {
        try "record".withView { (content) throws in
            var written = ChargeEntry()
            written.state = .parked
            written.parkedReason = reason
            written.account = 5
            written.wallet = 5
            written.balanceAfter = 17
            written.content = content
            try read(chunk { $0.append(time: time, written, draws: []) }) { _, entry in
                guard case .charged(let charge) = entry else {
                    Issue.record("another kind")
                    return
                }
                #expect(fields(charge) == fields(written))
                #expect(charge.draws.draws.isEmpty)
            }
        }
    }

    private func grant(_ texts: [ByteView]) -> GrantEntry {
        var entry = GrantEntry()
        entry.wallet = .max - 1
        entry.path = texts[0]
        entry.kind = .adjustment
        entry.burnOrder = .max
        entry.amount = .max
        entry.debtRepaid = 1_000_000
        entry.expiresAt = Timestamp(microseconds: -5)
        entry.key = Hash128(low: 1, high: .max)
        entry.digest = .max
        entry.balanceAfter = .min
        entry.source = texts[1]
        entry.metadata = texts[2]
        entry.idempotencyKey = texts[3]
        return entry
    }

    private func details(_ texts: [ByteView]) -> ActDetails {
        var act = ActDetails()
        act.key = Hash128(low: 3, high: 4)
        act.digest = 5
        act.idempotencyKey = texts[3]
        act.actor = texts[1]
        act.reason = texts[0]
        act.metadata = texts[2]
        return act
    }

    private func deducted(_ texts: [ByteView]) -> DeductEntry {
        var entry = DeductEntry()
        entry.wallet = 300
        entry.path = texts[0]
        entry.cause = .transferred
        entry.amount = .max
        entry.balanceAfter = -7
        entry.service = texts[1]
        entry.other = texts[3]
        entry.act = details(texts)
        return entry
    }

    private func noted(_ texts: [ByteView]) -> NotedEntry {
        var entry = NotedEntry()
        entry.account = 70_000
        entry.path = texts[0]
        entry.amount = .max
        entry.charge = ChargeLink(sequence: 9, charged: .max, requestID: texts[3])
        entry.act = details(texts)
        return entry
    }

    @Test("an administrator's acts keep every field")
    func acts() throws {
        let packedFilter = GrantFilter(providers: ["p"], models: ["m*"]).packed
        try packedFilter.withView { (filter) throws in
            try withTexts { texts in
                var packed = BytePacker()
                for draw in [Draw(grant: 1, amount: 2), Draw(grant: .max, amount: .max)] {
                    packed.append(draw)
                }
                var deducted = deducted(texts)
                deducted.draws = PackedDraws(count: 2, bytes: packed.view)
                let noted = noted(texts)
                var voided = GrantEndedEntry()
                voided.wallet = 300
                voided.path = texts[0]
                voided.grant = .max
                voided.amount = .max
                voided.balanceAfter = -1
                voided.cause = .voided
                voided.act = details(texts)
                var refunded = grant(texts)
                refunded.actor = texts[1]
                refunded.reason = texts[0]
                refunded.refundOf = ChargeLink(sequence: 8, charged: .max, requestID: texts[3])
                refunded.filter = filter
                var moved = refunded
                moved.refundOf = nil
                moved.transferredFrom = texts[2]
                var givenBack = refunded
                givenBack.isGivenBack = true
                let all = chunk(6) {
                    $0.append(time: time, deducted)
                    $0.append(time: time, noted)
                    $0.append(time: time, voided)
                    $0.append(time: time, refunded)
                    $0.append(time: time, moved)
                    $0.append(time: time, givenBack)
                }
                var grants: [GrantEntry] = []
                var count = 0
                try read(all) { readTime, entry in
                    #expect(readTime == time)
                    count += 1
                    switch entry {
                    case .deducted(let entry): expectSame(entry, deducted, new: DeductEntry())
                    case .noted(let entry): expectSame(entry, noted, new: NotedEntry())
                    case .grantEnded(let entry): expectSame(entry, voided, new: GrantEndedEntry())
                    case .granted(let entry): grants.append(entry)
                    default: Issue.record("another kind")
                    }
                }
                #expect(count == 6)
                #expect(
                    grants.map { fields($0) } == [fields(refunded), fields(moved), fields(givenBack)])
                expectSame(
                    grants[0], refunded, new: GrantEntry(), except: ["transferredFrom", "isGivenBack"])
                #expect(grants[2].isGivenBack && givenBack.kindOfEntry == .givenBack)
                #expect(fields(moved)["transferredFrom"] != fields(GrantEntry())["transferredFrom"])
                #expect(refunded.kindOfEntry == .grantedByAct && moved.kindOfEntry == .transferredIn)
            }
        }
    }

    /// Lends four different texts.
    private func withTexts(_ body: ([ByteView]) throws -> Void) throws {
        try "acme/search|stripe|{\"a\":1}|evt_1".withView { (bytes) throws in
            try body([bytes[0..<11], bytes[12..<18], bytes[19..<26], bytes[27..<32]])
        }
    }

    @Test("a grant keeps every field, with and without a key")
    func grants() throws {
        try withTexts { texts in
            var written = grant(texts)
            try read(chunk { $0.append(time: time, written) }) { readTime, entry in
                guard case .granted(let grant) = entry else {
                    Issue.record("another kind")
                    return
                }
                #expect(readTime == time)
                expectSame(
                    grant, written, new: GrantEntry(),
                    except: ["actor", "reason", "refundOf", "transferredFrom", "filter", "isGivenBack"])
            }
            written.key = nil
            written.digest = 0
            try read(chunk { $0.append(time: time, written) }) { _, entry in
                guard case .granted(let grant) = entry else {
                    Issue.record("another kind")
                    return
                }
                #expect(fields(grant) == fields(written))
            }
        }
    }

    @Test("the end of a grant, an account opened and an account changed keep every field")
    func others() throws {
        try withTexts { texts in
            var ended = GrantEndedEntry()
            ended.wallet = 300
            ended.path = texts[0]
            ended.grant = .max
            ended.amount = .max
            ended.balanceAfter = -1
            var opened = AccountOpenedEntry()
            opened.account = .max
            opened.path = texts[0]
            opened.ownsWallet = true
            opened.unlimited = true
            opened.overdraftLimit = .max
            opened.tier = texts[1]
            var changed = AccountChangedEntry()
            changed.account = 200
            changed.path = texts[0]
            changed.status = .closed
            changed.unlimited = true
            changed.overdraftLimit = 5
            changed.tier = texts[1]
            changed.reason = texts[2]
            let endedWithoutAct = Set(["cause"] + fields(ended).keys.filter { $0.hasPrefix("act.") })
            let all = chunk(3) {
                $0.append(time: time, ended)
                $0.append(time: Timestamp(microseconds: .min), opened)
                $0.append(time: .distantFuture, changed)
            }
            var times: [Timestamp] = []
            try read(all) { time, entry in
                times.append(time)
                switch entry {
                case .grantEnded(let entry):
                    expectSame(entry, ended, new: GrantEndedEntry(), except: endedWithoutAct)
                case .accountOpened(let entry): expectSame(entry, opened, new: AccountOpenedEntry())
                case .accountChanged(let entry): expectSame(entry, changed, new: AccountChangedEntry())
                default: Issue.record("another kind")
                }
            }
            #expect(times == [time, .distantPast, .distantFuture])
        }
    }

    @Test("the move of an account keeps every field")
    func moved() throws {
        try withTexts { texts in
            var moved = AccountMovedEntry()
            moved.account = 300
            moved.count = .max
            moved.from = texts[0]
            moved.to = texts[1]
            moved.act.key = Hash128(low: 7, high: .max)
            moved.act.digest = .max - 1
            moved.act.idempotencyKey = texts[3]
            moved.act.actor = texts[1]
            moved.act.reason = texts[2]
            moved.act.metadata = texts[3]
            let bytes = chunk { $0.append(time: time, moved) }
            try read(bytes) { readTime, entry in
                guard case .accountMoved(let entry) = entry else {
                    Issue.record("another kind")
                    return
                }
                #expect(readTime == time)
                expectSame(entry, moved, new: AccountMovedEntry())
            }
        }
    }

    private func held(_ texts: [ByteView]) -> HoldOpenedEntry {
        var entry = HoldOpenedEntry()
        entry.account = 300
        entry.wallet = .max - 1
        entry.walletPathCount = 4
        entry.key = Hash128(low: 7, high: .max)
        entry.digest = .max - 1
        entry.amount = HoldLimits.amountMax
        entry.expiresAt = Timestamp(microseconds: 123_456_789)
        entry.source = .byok
        entry.policy = .clip
        entry.tokens = .max
        entry.provider = 5
        entry.model = .max
        entry.path = texts[0]
        entry.id = texts[1]
        entry.orphan = .estimate
        entry.orphanCharge = HoldLimits.amountMax - 1
        return entry
    }

    private func holdEnded(_ texts: [ByteView]) -> HoldEndedEntry {
        var entry = HoldEndedEntry()
        entry.walletPathCount = 1
        entry.key = Hash128(low: .max, high: 3)
        entry.state = .expired
        entry.amount = 1 << 40
        entry.path = texts[0]
        entry.id = texts[1]
        entry.reason = texts[2]
        return entry
    }

    private func holdChanged(_ texts: [ByteView]) -> HoldChangedEntry {
        var entry = HoldChangedEntry()
        entry.walletPathCount = 1
        entry.key = Hash128(low: .max, high: 3)
        entry.amount = 1 << 41
        entry.expiresAt = .distantFuture
        entry.path = texts[0]
        entry.id = texts[1]
        return entry
    }

    @Test("a hold opened, ended and changed, and a charge that settles one, keep every field")
    func holds() throws {
        try withTexts { texts in
            let all = chunk(3) {
                $0.append(time: time, held(texts))
                $0.append(time: time, holdEnded(texts))
                $0.append(time: time, holdChanged(texts))
            }
            try read(all) { _, entry in
                switch entry {
                case .held(let entry):
                    expectSame(entry, held(texts), new: HoldOpenedEntry(), except: ["use"])
                case .holdEnded(let entry): expectSame(entry, holdEnded(texts), new: HoldEndedEntry())
                case .holdChanged(let entry): expectSame(entry, holdChanged(texts), new: HoldChangedEntry())
                default: Issue.record("another kind")
                }
            }
            for isExpired in [false, true] {
                var written = charge(tier: texts[1], content: texts[2])
                if isExpired {
                    written.hold = nil
                    written.holdReleased = 0
                }
                written.holdExpired = isExpired
                try read(chunk { $0.append(time: time, written, draws: []) }) { _, entry in
                    guard case .charged(let found) = entry else {
                        Issue.record("another kind")
                        return
                    }
                    #expect(found.hold == written.hold && found.holdReleased == written.holdReleased)
                    #expect(found.holdExpired == isExpired && found.content == written.content)
                }
            }
        }
    }

    private func orphaned(_ texts: [ByteView]) -> OrphanedEntry {
        var entry = OrphanedEntry()
        entry.policy = .inputOnly
        entry.charge = charge(tier: texts[1], content: texts[2])
        entry.charge.key = Hash128(low: 9, high: 11)
        entry.charge.holdReleased = 8_000_000_001
        return entry
    }

    @Test("a hold that says nothing of its orphan is written as before there were orphans, and read")
    func plainHold() throws {
        try withTexts { texts in
            var plain = held(texts)
            plain.orphan = .release
            plain.orphanCharge = 0
            let bytes = chunk { $0.append(time: time, plain) }
            #expect(Array(bytes.suffix(texts[1].count)) == Array(texts[1]))
            try read(bytes) { _, entry in
                guard case .held(let found) = entry else {
                    Issue.record("another kind")
                    return
                }
                #expect(found.orphan == .release && found.orphanCharge == 0 && found.use.isEmpty)
                #expect(found.id.text == texts[1].text)
            }
        }
    }

    private let link = OrphanLink(
        hold: Hash128(low: .max, high: 1), sequence: 300, charge: HoldLimits.amountMax, tokens: 1 << 30,
        wallet: .max - 1)

    @Test("the charge of an orphan keeps every field, and so does the report that corrects it")
    func orphans() throws {
        try withTexts { texts in
            try read(chunk { $0.append(time: time, orphaned(texts)) }) { _, entry in
                guard case .holdOrphaned(let found) = entry else {
                    Issue.record("another kind")
                    return
                }
                #expect(found.policy == .inputOnly)
                expectSame(
                    found.charge, orphaned(texts).charge, new: ChargeEntry(),
                    except: ["state", "parkedReason", "orphan", "draws"])
            }
            var written = charge(tier: texts[1], content: texts[2])
            written.hold = nil
            written.holdReleased = 0
            written.orphan = link
            try read(chunk { $0.append(time: time, written) }) { _, entry in
                guard case .charged(let found) = entry else {
                    Issue.record("another kind")
                    return
                }
                expectSame(
                    found, written, new: ChargeEntry(),
                    except: ["state", "parkedReason", "draws", "hold", "holdReleased"])
                #expect(found.charge == 0 && found.givenBack == HoldLimits.amountMax - 7_999_999_998)
            }
        }
    }

    @Test("what an outcome keeps beside its columns is read back, with its hold and its orphan")
    func outcomeDetails() throws {
        try withTexts { texts in
            func read(_ charge: ChargeEntry, end: ParkedEndEntry? = nil, _ policy: OrphanPolicy? = nil) throws
                -> OutcomeDetails
            {
                var packer = BytePacker()
                OutcomeDetails.append(charge, end: end, orphanedBy: policy, to: &packer)
                return try OutcomeDetails(reading: packer.view)
            }
            var charge = charge(tier: texts[1], content: texts[2])
            #expect(try read(charge).holdReleased == 77 && read(charge).orphanPolicy == nil)
            let orphan = try read(charge, .estimate)
            #expect(orphan.holdReleased == 77 && orphan.orphanPolicy == .estimate && orphan.orphan == nil)
            charge.hold = nil
            charge.orphan = link
            let late = try read(charge)
            #expect(late.holdReleased == nil && late.orphanPolicy == nil && late.orphan == link)
            var end = ParkedEndEntry()
            end.parkedSequence = 300
            #expect(try read(charge, end: end).orphan == link)
            charge.orphan = nil
            let plain = try read(charge, end: end)
            #expect(plain.orphan == nil && plain.end?.parkedSequence == 300)
        }
    }

    /// A chunk with an entry of every kind.
    private func everyKind() throws -> [UInt8] {
        var bytes: [UInt8] = []
        try withTexts { texts in
            bytes = chunk(17) {
                $0.append(
                    time: time, charge(tier: texts[1], content: texts[2]),
                    draws: [Draw(grant: 7, amount: 300)])
                $0.append(time: time, grant(texts))
                var ended = GrantEndedEntry()
                ended.path = texts[0]
                $0.append(time: time, ended)
                var opened = AccountOpenedEntry()
                opened.path = texts[0]
                $0.append(time: time, opened)
                var changed = AccountChangedEntry()
                changed.path = texts[0]
                $0.append(time: time, changed)
                var end = ParkedEndEntry()
                end.parkedSequence = 300
                end.isCorrected = true
                end.reason = texts[0]
                end.actor = texts[1]
                end.charge = charge(tier: texts[1], content: texts[2])
                $0.append(time: time, end, kind: .parkedSettled)
                end.charge.state = .parked
                end.charge.parkedReason = .invalidUsage
                $0.append(time: time, end, kind: .parkedDiscarded)
                $0.append(time: time, deducted(texts))
                $0.append(time: time, noted(texts))
                ended.cause = .voided
                ended.act = details(texts)
                $0.append(time: time, ended)
                var byAct = grant(texts)
                byAct.actor = texts[1]
                byAct.refundOf = ChargeLink(sequence: 8, charged: 5, requestID: texts[3])
                $0.append(time: time, byAct)
                byAct.transferredFrom = texts[2]
                $0.append(time: time, byAct)
                $0.append(time: time, held(texts))
                $0.append(time: time, holdEnded(texts))
                $0.append(time: time, holdChanged(texts))
                $0.append(time: time, orphaned(texts))
                var late = charge(tier: texts[1], content: texts[2])
                late.hold = nil
                late.orphan = link
                $0.append(time: time, late)
            }
        }
        return bytes
    }

    @Test("a chunk cut at any byte is an error")
    func everyCut() throws {
        let whole = try everyKind()
        var count = 0
        try read(whole) { _, _ in count += 1 }
        #expect(count == 17)
        for cut in 0..<whole.count {
            #expect(throws: EntryError.self, "cut at byte \(cut)") {
                try read(Array(whole.prefix(cut))) { _, _ in }
            }
        }
        #expect(throws: EntryError.self) { try read(whole + [0]) { _, _ in } }
    }

    @Test("whatever one byte becomes, reading ends, with entries or with an error")
    func everyByte() throws {
        let whole = try everyKind()
        for position in whole.indices {
            for value in [UInt8(0), 1, 2, 0x7f, 0x80, 0xff, whole[position] ^ 1, whole[position] &+ 1] {
                var changed = whole
                changed[position] = value
                do {
                    try read(changed) { _, _ in }
                } catch {
                    #expect(error is EntryError)
                }
            }
        }
    }

    @Test("a kind nobody knows is named with its place", arguments: [0, 15, 100, 127, 255] as [UInt8])
    func unknownKinds(kind: UInt8) throws {
        let bytes = chunk { packer in
            packer.append(UInt64(2))
            packer.append(byte: kind)
            packer.append(byte: 0)
        }
        #expect(throws: EntryError.unknownKind(kind, atByte: 3)) { try read(bytes) { _, _ in } }
    }

    @Test("a flag or a field from the future is refused, not skipped")
    func fromTheFuture() throws {
        let opened = chunk { $0.append(time: Timestamp(microseconds: 0), AccountOpenedEntry()) }
        // head (3), length (2), kind, time, account, flags
        for flag in [UInt8(4), 8, 128] {
            var changed = opened
            changed[8] |= flag
            #expect(throws: EntryError.self) { try read(changed) { _, _ in } }
        }
        var longer = opened
        longer[3] += 1
        longer.append(0)
        #expect(throws: EntryError.self) { try read(longer) { _, _ in } }
    }

    @Test("sequences begin at 1 and have room above")
    func sequences() {
        for first in [UInt64(0), 1 << 62, .max] {
            var packer = BytePacker()
            packer.append(UInt64(0))
            packer.append(first)
            packer.append(UInt64(0))
            #expect(throws: EntryError.truncated(atByte: 0)) { try read(Array(packer.view)) { _, _ in } }
        }
    }

    @Test(
        "an entry of any length is followed by the next",
        arguments: [0, 100, 16_360, 16_370, 16_380, 16_384, 20_000, 2_097_100, 2_097_152, 3_000_000])
    func lengths(about: Int) throws {
        for length in about..<about + (about < 1 << 20 ? 30 : 2) {
            let reason = [UInt8](repeating: 0x61, count: length)
            let bytes = reason.withView { view in
                var entry = AccountChangedEntry()
                entry.reason = view
                return chunk(2) {
                    $0.append(time: time, entry)
                    $0.append(time: time, GrantEndedEntry())
                }
            }
            var found: [Int] = []
            try read(bytes) { _, entry in
                switch entry {
                case .accountChanged(let entry): found.append(entry.reason.count)
                case .grantEnded: found.append(-1)
                default: Issue.record("another kind")
                }
            }
            #expect(found == [length, -1])
        }
    }
}
