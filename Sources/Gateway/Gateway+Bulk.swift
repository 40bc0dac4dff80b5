// Credit for many accounts at once. Each grant has a key of its own, so a list that is sent again, or that was cut
// off in the middle by a crash, gives nothing twice.

import Bytes
import Ledger
import Pricing
import Store

/// One grant of a list.
public struct BulkGrant: Sendable {
    public var path: [UInt8]
    /// With an idempotency key.
    public var request: GrantRequest

    public init(path: [UInt8], request: GrantRequest) {
        self.path = path
        self.request = request
    }
}

/// What became of a grant of a list.
public enum BulkOutcome: Sendable {
    case given(ActReceipt)
    /// It was given before under its key.
    case givenBefore
    case failed(AdministrationError)
}

extension Gateway {
    /// Grants that are made durable together: enough that a sync is nothing beside them.
    private static let bulkGrantsAtOnce = 1_000

    /// Gives every grant of a list, in their order. One outcome for each.
    public func allocate(_ grants: [BulkGrant]) async -> [BulkOutcome] {
        var outcomes: [BulkOutcome] = []
        outcomes.reserveCapacity(grants.count)
        var next = grants.startIndex
        while next < grants.endIndex {
            let end = min(grants.endIndex, next + Self.bulkGrantsAtOnce)
            let (decided, mark) = decide(grants[next..<end])
            outcomes += decided
            await whenDurable(mark)
            next = end
        }
        return outcomes
    }

    private func decide(_ grants: ArraySlice<BulkGrant>) -> ([BulkOutcome], AnswerMark) {
        var mark = AnswerMark()
        let time = now()
        let outcomes = grants.map { grant -> BulkOutcome in
            if let fault = admissionFault() { return .failed(.refused(fault)) }
            do throws(AdministrationError) {
                switch try decide(grant.request, to: grant.path, time: time, isNew: false, mark: &mark) {
                case .done(let receipt): return receipt.duplicate ? .givenBefore : .given(receipt)
                case .askHistory: return .failed(.refused(Refusal(.overloaded)))
                // The key stands for the content, so what differs is what follows from the day, such as an expiry.
                case .refused(let refusal) where refusal.reason == .idempotencyConflict: return .givenBefore
                case .refused(let refusal): return .failed(.refused(refusal))
                }
            } catch {
                return .failed(error)
            }
        }
        return (outcomes, mark)
    }

    /// Why credit cannot be given to an account, looking only; nil where it can.
    public func grantFault(_ path: [UInt8]) -> AdministrationError? {
        do throws(AccountPath.Fault) {
            let status = try path.withView { (path) throws(AccountPath.Fault) in try ledger.status(of: path) }
            switch status {
            case nil: return .refused(Refusal(.accountNotFound, field: .account))
            case .closed: return .refused(Refusal(.accountClosed, field: .account))
            case .active, .suspended: return nil
            }
        } catch {
            return .path(error)
        }
    }
}
