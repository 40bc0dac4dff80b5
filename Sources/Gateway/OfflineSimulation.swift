// A simulation on a data directory that nobody is using: the same replay, without a gateway.

import Ledger
import Money
import Platform
import Pricing
import Store
import StrictJSON

extension OfflineDirectory {
    /// Replays the history under a draft. What the journal holds and the history does not is not in it.
    ///
    /// - Parameter progress: hears of rows done and in all.
    public func simulate(
        _ draft: WhatIfDraft, since: Timestamp? = nil, until: Timestamp? = nil, accountsMax: Int = 20,
        progress: (_ done: Int64, _ total: Int64) -> Void
    ) throws(AdministrationError) -> SimulationReport {
        let clock = SystemClock()
        let (started, now) = (
            clock.monotonicNanoseconds(), Timestamp(microseconds: clock.wallMicroseconds())
        )
        var draft = draft
        let current: PriceBook
        do {
            let store = PriceBookStore(control, clock: clock)
            guard let stored = try control.activeCatalogue(),
                let value = CreditValue(
                    picodollarsPerCredit: try Picodollars(text: record.identity.creditValue).count)
            else { throw AdministrationError.noCatalogue(0) }
            current = try PriceBook(
                catalogue: try store.catalogue(stored), rules: try store.rules(), creditValue: value)
            if draft.catalogue == nil, let version = draft.catalogueVersion {
                guard let named = try control.catalogue(version) else {
                    throw AdministrationError.noCatalogue(version)
                }
                draft.catalogue = try store.catalogue(named)
            }
        } catch let error as StoreError {
            throw .store(error)
        } catch let error as PricingError {
            throw .pricing(error)
        } catch let error as AdministrationError {
            throw error
        } catch {
            throw .store(
                .damagedRow(
                    file: .control, table: "rule_versions", key: "", path: "", reason: "\(error)"))
        }
        let request = SimulationRequest(
            book: try draft.book(over: current, now: now, accountTiers: [], allowsNewTiers: true),
            repricesBase: draft.hasPrices, since: since, until: until, accountsMax: accountsMax)
        do throws(StoreError) {
            var simulation = try Simulation(request, history: history)
            let report = try simulation.run { done, total in
                progress(done, total)
                return true
            }
            guard var report else { preconditionFailure("nobody told it to stop") }
            report.nanoseconds = clock.monotonicNanoseconds() - started
            return report
        } catch {
            throw .store(error)
        }
    }
}

extension AdministrationError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .refused(let refusal): "\(refusal.reason.name)"
        case .path(let fault): "\(fault)"
        case .store(let error): "\(error)"
        case .pricing(let error): "\(error)"
        case .rules(let problem): "\(problem)"
        case .busy(let thing): "\(thing) is running already"
        case .noCatalogue(let number): "there is no catalogue version \(number)"
        case .catalogueChanged: "what was to be approved is not what is there"
        case .act(let problem): "\(problem)"
        case .letGo: "the record of this request was let go"
        case .noCharge: "no request of this account has this id"
        case .nothingCharged(let state): "the request is \(state.transactionType)"
        }
    }
}
