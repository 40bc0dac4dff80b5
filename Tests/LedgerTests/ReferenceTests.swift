// The ledger and a second one that was written only from the rules answer every act alike.

import Pricing
import Testing

@testable import Ledger

@Suite("against a reference")
struct ReferenceTests {
    private func perform(_ act: Act, _ reference: ReferenceLedger, now: inout Int64) -> Outcome {
        switch act {
        case .open(let path, let wallet, let tier, let unlimited, let overdraft):
            return reference.open(
                path, wallet: wallet, tier: tier, unlimited: unlimited, overdraft: overdraft, now: now)
        case .change(let path, let status, let tier, let unlimited, let overdraft):
            return reference.change(
                path, status: [.active: 0, .suspended: 1, .closed: 2][status] ?? 0, tier: tier,
                unlimited: unlimited, overdraft: overdraft, now: now)
        case .grant(let amount, let path, let kind, let expiry, let filter, let key):
            let orders: [GrantKind: Int] = [
                .monthly: 10, .promo: 20, .bonus: 30, .refund: 35, .purchased: 40, .adjustment: 40,
            ]
            return reference.grant(
                amount, to: path, kind: (kind.name, orders[kind] ?? 0), expiry: expiry, filter: filter,
                key: key,
                now: now)
        case .report(let call):
            return reference.report(call, month: month(of: call), now: now)
        case .end(let action, let reported, let corrected):
            return reference.end(
                action, reported: reported, corrected: corrected, month: month(of: reported), now: now)
        case .deduct(let amount, let path, let allowNegative, let key):
            return reference.deduct(amount, from: path, allowNegative: allowNegative, key: key, now: now)
        case .voidGrant(let grant, let path, let key):
            return reference.void(grant, of: path, key: key, now: now)
        case .refund(let amount, let call, let isCorrection, let path, let key):
            return reference.refund(
                amount, of: call, isCorrection: isCorrection, on: path, key: key, now: now)
        case .close(let path, let choice): return reference.close(path, choice, now: now)
        case .hold(let order):
            var call = order.usage
            call.eventTime = Timestamp(microseconds: now)
            return reference.hold(order, month: month(of: call), now: now)
        case .extend(let order, let lease, let amount):
            return reference.extend(order, lease: lease, amount: amount, now: now)
        case .void(let order): return reference.void(order, now: now)
        case .ask(let path): return reference.standing(path, now: now)
        case .wait(let microseconds):
            now += microseconds
            return .nothing
        }
    }

    /// Whole days since 1970, and the month by counting them off.
    private func month(of call: Call) -> Int {
        var day = call.eventTime.microseconds / Fixture.day
        var month = 0
        while true {
            let year = 1970 + month / 12
            let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
            let length = Int64([31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month % 12])
            if day < length { return month }
            day -= length
            month += 1
        }
    }

    @Test("every act comes to the same", arguments: UInt64(1)...30)
    func sameOutcomes(seed: UInt64) throws {
        let house = try House()
        let reference = ReferenceLedger()
        var acts = RandomActs(seed: seed)
        var now = Fixture.start.microseconds
        var kinds: Set<String> = []
        for step in 0..<600 {
            let act = acts.next()
            let (real, expected) = (try house.perform(act), perform(act, reference, now: &now))
            kinds.insert(String("\(real)".prefix(24)))
            guard real == expected else {
                Issue.record("seed \(seed), step \(step), \(act): \(real), the reference says \(expected)")
                return
            }
        }
        #expect(house.ledger.totals().balance)
        #expect(kinds.count > 10, "the acts hardly do anything: \(kinds)")
    }
}
