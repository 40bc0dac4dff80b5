// Time that passes without anybody calling: leases of holds and grants end by themselves.
//
// Whatever looks at a wallet ends first what is over, so no answer is wrong without this; but credit that is
// held by nobody would show in sums and gauges, and an expiry would get its entry late. A step takes a shard's
// lock only where something is due, and for a bounded number of entries.

import Ledger
import Pricing

/// Ends what time has ended.
final class Sweeper: Sendable {
    /// Time between two looks.
    static let interval = Duration.milliseconds(250)

    private unowned let gateway: Gateway

    init(_ gateway: Gateway) { self.gateway = gateway }

    /// Ends what is due now. Nothing while the gateway takes no entries: the disk may be full.
    func sweep() {
        var isMore = true
        while isMore, gateway.admissionFault() == nil {
            var mark = AnswerMark()
            let now = gateway.now()
            isMore = gateway.ledger.expireHolds(now: now, mark: &mark)
            if gateway.ledger.endExpiredGrants(now: now, mark: &mark) { isMore = true }
            if !mark.stagedShards.isEmpty { _ = gateway.handOver(mark.stagedShards) }
        }
    }
}
