// Health: alive is one thing, ready for traffic another.
//
// Alive means that this process answers; restart it when it does not. Ready means that reports are
// recorded; send traffic elsewhere when it is not, and do not restart: a full disk and an overload heal by
// themselves.

import Gateway
import StrictJSON

extension AdminDesk {
    /// `GET /healthz`: the process answers.
    func health(_ request: AdminRequest) throws(RequestProblem) -> Reply {
        try request.expectParameters()
        return Reply(["status": "alive"])
    }

    /// `GET /readyz`: 200 while reports are recorded, else 503 `NOT_READY` with every reason.
    func ready(_ request: AdminRequest) throws(RequestProblem) -> Reply {
        try request.expectParameters()
        let reasons = Self.reasonsNotReady(
            gateway.figures(), status.connections(), isReady: gateway.isReady)
        guard reasons.isEmpty else { throw .notReady(reasons) }
        return Reply(["status": "ready"])
    }

    /// Why reports are not recorded now; empty while they are.
    static func reasonsNotReady(
        _ figures: GatewayFigures, _ connections: ConnectionFigures, isReady: Bool
    ) -> [String] {
        var reasons: [String] = []
        if figures.isDiskFull {
            reasons.append(
                "the disk has no room for the next journal segment: free some, it goes on by itself")
        }
        if figures.isOverloaded {
            reasons.append("the history is so far behind that the journal may not grow: it goes on by itself")
        }
        if connections.refusesCalls {
            reasons.append(
                "connections hold almost as much memory as transport.memory_bytes_max allows: it goes on by itself"
            )
        }
        if !isReady, !figures.isDiskFull { reasons.append("the gateway is draining before it stops") }
        return reasons
    }
}
