// The demonstration can make every request again, and everything it asks for has a price.

import Pricing
import Testing
import TollgateClient

@testable import tollgate

@Suite("Demo")
struct DemoTests {
    @Test("every model of the demonstration is in the starter catalogue, but the one that is not to be")
    func models() throws {
        let catalogue = try Catalogue.starter()
        for model in DemoCast.models {
            #expect(catalogue.model(provider: model.provider, name: model.model) != nil, "\(model)")
        }
        #expect(catalogue.model(provider: DemoCast.unpriced.provider, name: DemoCast.unpriced.model) == nil)
        #expect(DemoCast.providers.count >= 10)
    }

    @Test("the same index is the same request, byte for byte")
    func determinism() {
        let traffic = DemoTraffic(start: 1_000)
        for index in stride(from: 0, to: 10_000, by: 7) {
            #expect(traffic.report(index) == traffic.report(index))
            #expect(traffic.report(index).eventTimeMicroseconds == 1_000 + Int64(index))
        }
    }

    @Test("repeats repeat a call that was made before, and only one in fifty does")
    func repeats() {
        let calls = (0..<1_000).map { DemoTraffic.request(ofCall: $0) }
        #expect(calls.count { $0.isRepeat } == 20)
        for (call, (index, isRepeat)) in calls.enumerated() where isRepeat {
            #expect(index < call)
            #expect(!DemoTraffic.request(ofCall: index).isRepeat)
        }
    }

    @Test("own keys are used only where the tier has a rule for them")
    func keys() {
        #expect(DemoTier.allCases.reduce(0) { $0 + $1.plan.share } == 100)
        var sources: Set<String> = []
        for index in 0..<5_000 {
            let request = DemoTraffic.request(index)
            sources.insert(request.source.word)
            if request.source == .byok {
                #expect(DemoCast.wallets[request.wallet].tier.byokProviders.contains(request.model.provider))
            }
        }
        #expect(sources == ["platform", "byok"])
    }

    @Test("the trace has its rows")
    func trace() {
        #expect(DemoTrace.requests.count == 1_500)
        #expect(DemoTrace.requests.allSatisfy { $0.inputTokens > 0 && $0.outputTokens >= 0 })
    }
}
