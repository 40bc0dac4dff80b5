// Where requests are served: the gateway, and what the edge itself has to know.

import Gateway
import Logging
import NIOPosix
import Synchronization

/// Serves endpoints. One for a server, used by all its connections.
final class AdminDesk: Sendable {
    let gateway: Gateway
    let status: AdminStatus
    let logger: Logger
    let started = ContinuousClock.now
    let previews = BulkPreviews()
    let bulk = Permits(AdminLimits.bulkRequestsMax, of: "lists of accounts")
    let imports = Permits(AdminLimits.catalogueImportsMax, of: "price lists")

    init(_ gateway: Gateway, status: AdminStatus, logger: Logger) {
        self.gateway = gateway
        self.status = status
        self.logger = logger
    }

    /// Serves one request.
    func answer(_ endpoint: Endpoint, _ request: AdminRequest) async throws(RequestProblem) -> Reply {
        switch endpoint {
        case .health: try health(request)
        case .ready: try ready(request)
        case .metrics: try await metrics(request)
        case .status: try serverStatus(request)
        case .books: try books(request)
        case .allocate: try await allocate(request)
        case .deduct: try await deduct(request)
        case .refund: try await refund(request)
        case .voidGrant: try await voidGrant(request)
        case .correct: try await correct(request)
        case .closeAccount: try await closeAccount(request)
        case .moveAccount: try await moveAccount(request)
        case .creditAudit: try await creditAudit(request)
        case .previewBulk: try await previewBulk(request)
        case .applyBulk: try await applyBulk(request)
        case .confirmBulk: try await confirmBulk(request)
        case .balance: try await balance(request)
        case .transactions: try await transactions(request)
        case .platformRules: try platformRules(request)
        case .byokRules: try byokRules(request)
        case .allRules: try allRules(request)
        case .platformRule: try rule(request, kind: .platform)
        case .byokRule: try rule(request, kind: .byok)
        case .platformHistory: try ruleHistory(request, kind: .platform)
        case .byokHistory: try ruleHistory(request, kind: .byok)
        case .audit: try await audit(request)
        case .startShadow: try await startShadow(request)
        case .showShadow: try showShadow(request)
        case .stopShadow: try await stopShadow(request)
        case .simulate: try await simulate(request)
        case .simulation: try simulation(request)
        case .stopSimulation: try stopSimulation(request)
        case .applyRules: try await applyRules(request)
        case .createBYOKRule: try await createRule(request)
        case .changePlatformRule: try await changeRule(request, kind: .platform)
        case .changeBYOKRule: try await changeRule(request, kind: .byok)
        case .deletePlatformRule:
            try await switchRule(request, kind: .platform, isActive: false, action: .delete)
        case .deleteBYOKRule: try await switchRule(request, kind: .byok, isActive: false, action: .delete)
        case .deactivatePlatformRule:
            try await switchRule(request, kind: .platform, isActive: false, action: .deactivate)
        case .deactivateBYOKRule:
            try await switchRule(request, kind: .byok, isActive: false, action: .deactivate)
        case .reactivatePlatformRule:
            try await switchRule(request, kind: .platform, isActive: true, action: .reactivate)
        case .reactivateBYOKRule:
            try await switchRule(request, kind: .byok, isActive: true, action: .reactivate)
        case .expirePlatformRule: try await expireRule(request, kind: .platform)
        case .expireBYOKRule: try await expireRule(request, kind: .byok)
        case .withdrawPlatformRule: try await withdrawRule(request, kind: .platform)
        case .withdrawBYOKRule: try await withdrawRule(request, kind: .byok)
        case .catalogueVersions: try await catalogueVersions(request)
        case .catalogueVersion: try await catalogueVersion(request)
        case .catalogueFile: try await catalogueFile(request)
        case .catalogueModels: try await catalogueModels(request)
        case .catalogueDiff: try await catalogueDiff(request)
        case .importCatalogue: try await importCatalogue(request)
        case .approveCatalogue: try await approveCatalogue(request)
        case .receipt: try await receipt(request)
        case .quote: try await quote(request)
        case .calculatePlatform: try await calculatePlatform(request)
        case .calculateBYOK: try await calculateBYOK(request)
        case .calculateComparison: try await calculateComparison(request)
        case .usageSummary: try await usageSummary(request)
        case .export: try await export(request)
        case .parkedUsage: try await parkedUsage(request)
        case .settleParked: try await settleParked(request)
        case .discardParked: try await discardParked(request)
        case .events: try await events(request)
        case .listBudgets: try await listBudgets(request)
        case .setBudget: try await setBudget(request)
        case .removeBudget: try await removeBudget(request)
        case .openHolds: try await openHolds(request)
        case .openHold: try await openHold(request)
        case .settleHold: try await settleHold(request)
        case .voidHold: try await voidHold(request)
        case .extendHold: try await extendHold(request)
        case .openAccounts: try await openAccounts(request)
        case .account: try await account(request)
        case .changeAccount: try await changeAccount(request)
        }
    }

    /// The permit that an endpoint needs before its body is read; nil if it needs none.
    func permit(for endpoint: Endpoint) throws(RequestProblem) -> Permits? {
        switch endpoint {
        case .openAccounts, .previewBulk, .applyBulk, .confirmBulk: try bulk.take()
        case .importCatalogue, .simulate, .startShadow: try imports.take()
        default: nil
        }
    }

    /// Runs `body`, which waits for SQLite, where waiting holds nobody up.
    func reading<Value: Sendable>(
        _ body: @escaping @Sendable () throws(AdministrationError) -> Value
    ) async throws(RequestProblem) -> Value {
        let outcome: Result<Value, AdministrationError>
        do {
            outcome = try await NIOThreadPool.singleton.runIfActive {
                do throws(AdministrationError) {
                    return .success(try body())
                } catch {
                    return .failure(error)
                }
            }
        } catch {
            // The pool of the process runs until its end; a task may be cancelled, at a stop.
            throw .notReady(["the server is stopping"])
        }
        switch outcome {
        case .success(let value): return value
        case .failure(let error): throw RequestProblem(error, account: "account")
        }
    }
}

// MARK: - Waiting for the history

extension AdminDesk {
    /// Lets the history hold what was reported before, so that nothing is missed that somebody was told of.
    func catchUp() async throws(RequestProblem) { try await waitForHistory(AdminLimits.receiptWait) }

    /// Lets the history hold what was reported a moment ago, if that is not much.
    func lookForLatest() async throws(RequestProblem) {
        guard gateway.historyLag <= AdminLimits.latestEntriesMax else { return }
        try await waitForHistory(AdminLimits.latestWait)
    }

    private func waitForHistory(_ timeout: Duration) async throws(RequestProblem) {
        do {
            try await gateway.waitForHistory(timeout: timeout)
        } catch {
            throw .notReady(["the server is stopping"])
        }
    }
}

/// A number of things that may be done at the same time.
final class Permits: Sendable {
    private let left: Mutex<Int>
    private let count: Int
    private let things: String

    /// - Parameter things: what is done, in the plural.
    init(_ count: Int, of things: String) {
        left = Mutex(count)
        self.count = count
        self.things = things
    }

    /// Takes one, to be given back once.
    func take() throws(RequestProblem) -> Permits {
        let isTaken = left.withLock { left in
            guard left > 0 else { return false }
            left -= 1
            return true
        }
        guard isTaken else { throw .busy("\(count) \(things)") }
        return self
    }

    func giveBack() { left.withLock { $0 += 1 } }
}
