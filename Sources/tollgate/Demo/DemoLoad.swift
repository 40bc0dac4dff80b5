// The router of the demonstration: many tasks, each with one report under way, over two connections.
//
// It does not care whether the server lives: a call that has no answer is sent again by the client, with the
// same request id, until it has one.

import Synchronization
import TollgateClient

/// Sends traffic from one call number on, until it is told to stop.
final class DemoLoad: Sendable {
    static let connections = 2
    static let callsPerConnection = 128

    private let traffic: DemoTraffic
    private let score: DemoScore
    private let nextCall = Atomic<Int>(0)
    private let isStopping = Atomic<Bool>(false)
    /// Counts the kills: a call that sees two values crossed one.
    private let kills = Atomic<Int>(0)

    init(_ traffic: DemoTraffic, _ score: DemoScore) {
        self.traffic = traffic
        self.score = score
    }

    /// Calls begun so far.
    var callCount: Int { nextCall.load(ordering: .relaxed) }

    /// Says that the server is about to be killed.
    func noteKill() { kills.add(1, ordering: .sequentiallyConsistent) }

    func stop() { isStopping.store(true, ordering: .relaxed) }

    /// Sends until `stop`, and returns when every call has its answer.
    func run(port: Int) async {
        isStopping.store(false, ordering: .relaxed)
        var clients: [TollgateClient] = []
        for _ in 0..<Self.connections {
            var configuration = TollgateClient.Configuration(host: "127.0.0.1", port: port)
            configuration.timeout = .seconds(60)
            configuration.backoffLongest = .milliseconds(200)
            clients.append(TollgateClient(configuration))
        }
        await withTaskGroup(of: Void.self) { group in
            for client in clients {
                for _ in 0..<Self.callsPerConnection {
                    group.addTask { await self.callUntilStopped(client) }
                }
            }
        }
        for client in clients { await client.close() }
    }

    private func callUntilStopped(_ client: TollgateClient) async {
        let clock = ContinuousClock()
        while !isStopping.load(ordering: .relaxed) {
            let (index, isRepeat) = DemoTraffic.request(ofCall: nextCall.add(1, ordering: .relaxed).oldValue)
            let killsBefore = kills.load(ordering: .sequentiallyConsistent)
            let begun = clock.now
            do throws(ClientError) {
                let receipt = try await client.report(traffic.report(index))
                let crossed = kills.load(ordering: .sequentiallyConsistent) != killsBefore
                score.add(
                    receipt, request: index, isRepeat: isRepeat,
                    nanoseconds: crossed ? nil : UInt64((clock.now - begun) / .nanoseconds(1)),
                    crossed: crossed)
            } catch {
                score.fail("\(DemoTraffic.requestID(index)) has no receipt: \(error.message)")
                return
            }
        }
    }
}
