// The record as the hot path passes it on.

import Bytes
import Pricing
import Testing

@Suite("usage records")
struct UsageRecordTests {
    @Test("a copy says everything that the record says")
    func copies() {
        Array("abcdefghijkl".utf8).withView { text in
            var record = UsageRecord()
            record.requestID = text[0..<1]
            record.account = text[1..<2]
            record.credentialSource = .byok
            record.provider = text[2..<3]
            record.model = text[3..<4]
            record.serviceTier = text[4..<5]
            record.usage.inputTokens = 5
            record.usage.requests = 6
            record.eventTime = Timestamp(microseconds: 7)
            record.usageSource = .estimated
            record.outcome = .failed
            record.onInsufficient = .refuse
            record.requestedProvider = text[5..<6]
            record.requestedModel = text[6..<7]
            record.requestedServiceTier = text[7..<8]
            record.holdID = text[8..<9]
            record.quoteToken = text[9..<10]
            record.providerReportedCost = 8
            record.tags = text[10..<12]
            let copy = record.copy()
            #expect(copy.requestID == record.requestID && copy.account == record.account)
            #expect(copy.credentialSource == .byok && copy.provider == record.provider)
            #expect(copy.model == record.model && copy.serviceTier == record.serviceTier)
            #expect(copy.usage == record.usage && copy.eventTime == record.eventTime)
            #expect(copy.usageSource == .estimated && copy.outcome == .failed)
            #expect(copy.onInsufficient == .refuse && copy.requestedProvider == record.requestedProvider)
            #expect(copy.requestedModel == record.requestedModel && copy.holdID == record.holdID)
            #expect(copy.requestedServiceTier == record.requestedServiceTier)
            #expect(copy.quoteToken == record.quoteToken && copy.tags == record.tags)
            #expect(copy.providerReportedCost == 8)
        }
    }
}
