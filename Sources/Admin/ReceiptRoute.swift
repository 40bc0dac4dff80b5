// A charge with every factor, computed again from the versions it was pinned to.

import Gateway
import Money
import Pricing
import Store
import StrictJSON
import Wire

extension AdminDesk {
    /// `GET /api/v1/receipts/{request_id}?organisation=`.
    ///
    /// Request ids are an organisation's own; where two use the same one, name the organisation. A receipt
    /// that is not in the history yet is waited for, `AdminLimits.receiptWait` at the most.
    func receipt(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters(["organisation"])
        let organisation = request.parameter("organisation").map { Array($0.utf8) }
        if let found = try await explanation(request.place, organisation) { return Reply(found.json) }
        try await catchUp()
        if let found = try await explanation(request.place, organisation) { return Reply(found.json) }
        throw .noReceipt(lag: gateway.historyLag)
    }

    private func explanation(
        _ id: [UInt8], _ organisation: [UInt8]?
    ) async throws(RequestProblem) -> ChargeExplanation? {
        let gateway = gateway
        return try await reading { () throws(AdministrationError) in
            try gateway.explain(requestID: id, organisation: organisation)
        }
    }
}
