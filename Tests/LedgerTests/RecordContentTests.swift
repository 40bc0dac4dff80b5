// The canonical form of a record is read back as the record, is the same for the same record, and another
// for every single difference.

import Bytes
import Pricing
import Testing

@testable import Ledger

@Suite("the canonical form of a record")
struct RecordContentTests {
    private static var counts: [WritableKeyPath<Usage, Int64>] {
        [
            \.inputTokens, \.outputTokens, \.cacheReadTokens, \.cacheWrite5mTokens, \.cacheWrite1hTokens,
            \.inputAudioTokens, \.inputImageTokens, \.reasoningTokens, \.outputAudioTokens,
            \.outputImageTokens,
            \.images, \.webSearches, \.seconds, \.pages, \.characters, \.requests,
        ]
    }
    private static var texts: [WritableKeyPath<Call, String>] {
        [
            \.id, \.account, \.provider, \.model, \.serviceTier, \.requestedProvider, \.requestedModel,
            \.requestedServiceTier, \.holdID, \.quoteToken,
        ]
    }

    private func randomCall(_ random: inout Seeded) -> Call {
        var call = Call()
        for text in Self.texts {
            let count = random.chance(30) ? 0 : Int.random(in: 1...140, using: &random)
            call[keyPath: text] = String((0..<count).map { _ in random.pick(Array("abcXYZ019._:@-")) })
        }
        for count in Self.counts where random.chance(50) {
            call.usage[keyPath: count] = Int64.random(
                in: 0...random.pick([1, 127, 20_000, Usage.countMax]), using: &random)
        }
        call.source = random.pick(CredentialSource.allCases)
        call.usageSource = random.pick(UsageSource.allCases)
        call.outcome = random.pick(RequestOutcome.allCases)
        call.onInsufficient = random.pick(OnInsufficient.allCases)
        call.eventTime = Timestamp(microseconds: Int64(bitPattern: random.next()))
        call.providerReportedCost = random.chance(50) ? nil : Int64(bitPattern: random.next())
        call.tags = random.chance(50) ? [] : random.bytes(1...300)
        return call
    }

    /// The record read back, in its canonical form and field for field.
    private func expectSame(_ content: [UInt8], _ call: Call) throws {
        try content.withView { (view) throws in
            let read = try RecordContent.read(view)
            var packer = BytePacker()
            RecordContent.append(read, to: &packer)
            #expect(Array(packer.view) == content)
            try call.withRecord { (record) throws in
                #expect(read.usage == record.usage)
                #expect(read.eventTime == record.eventTime)
                #expect(read.credentialSource == record.credentialSource)
                #expect(read.usageSource == record.usageSource && read.outcome == record.outcome)
                #expect(read.onInsufficient == record.onInsufficient)
                #expect(read.providerReportedCost == record.providerReportedCost)
                #expect(read.requestID == record.requestID && read.account == record.account)
                #expect(read.provider == record.provider && read.model == record.model)
                #expect(read.serviceTier == record.serviceTier && read.tags == record.tags)
                #expect(read.requestedProvider == record.requestedProvider)
                #expect(read.requestedModel == record.requestedModel)
                #expect(read.requestedServiceTier == record.requestedServiceTier)
                #expect(read.holdID == record.holdID && read.quoteToken == record.quoteToken)
            }
            #expect(try RecordContent.eventTime(of: view) == call.eventTime)
        }
    }

    @Test("any record is read back as it was", arguments: UInt64(1)...5)
    func roundTrip(seed: UInt64) throws {
        var random = Seeded(seed)
        for _ in 0..<200 {
            let call = randomCall(&random)
            try expectSame(call.content, call)
            #expect(call.content == call.content)
        }
    }

    @Test("every single change makes another form and another digest", arguments: UInt64(1)...20)
    func everyChange(seed: UInt64) {
        var random = Seeded(seed)
        let call = randomCall(&random)
        var changes: [Call] = []
        func change(_ body: (inout Call) -> Void) {
            var changed = call
            body(&changed)
            changes.append(changed)
        }
        for text in Self.texts { change { $0[keyPath: text] += "x" } }
        for count in Self.counts {
            change { $0.usage[keyPath: count] += $0.usage[keyPath: count] == 0 ? 1 : -1 }
        }
        change { $0.source = $0.source == .byok ? .platform : .byok }
        for other in UsageSource.allCases where other != call.usageSource {
            change { $0.usageSource = other }
        }
        for other in RequestOutcome.allCases where other != call.outcome { change { $0.outcome = other } }
        change { $0.onInsufficient = $0.onInsufficient == .refuse ? .record : .refuse }
        change { $0.eventTime.microseconds ^= 1 }
        change { $0.providerReportedCost = $0.providerReportedCost.map { $0 ^ 1 } ?? 0 }
        change { $0.tags.append(0) }
        // What stands in one field is not the same in the next.
        change {
            $0.holdID = call.quoteToken + "h"
            $0.quoteToken = call.holdID
        }
        let maker = KeyMaker(secret: Fixture.secret)
        let forms = [call.content] + changes.map(\.content)
        #expect(Set(forms).count == forms.count)
        #expect(Set(forms.map { $0.withView { maker.digest($0) } }).count == forms.count)
    }

    @Test("a form cut anywhere, or with more behind it, is an error", arguments: UInt64(1)...5)
    func everyCut(seed: UInt64) {
        var random = Seeded(seed)
        let content = randomCall(&random).content
        for cut in 0..<content.count {
            #expect(throws: UnpackingError.self, "cut at byte \(cut)") {
                try Array(content.prefix(cut)).withView { (view) throws in _ = try RecordContent.read(view) }
            }
        }
        #expect(throws: UnpackingError.self) {
            try (content + [0]).withView { (view) throws in _ = try RecordContent.read(view) }
        }
    }

    @Test("ids of two organisations, and of reports and acts, are different ids")
    func keys() {
        let maker = KeyMaker(secret: Fixture.secret)
        let organisations = ["a", "b"].map { $0.withView { maker.path($0).organisation } }
        let hashes = "r1".withView { id in
            organisations.flatMap { [maker.request(id, organisation: $0), maker.act(id, organisation: $0)] }
        }
        #expect(Set(hashes).count == 4)
    }
}
