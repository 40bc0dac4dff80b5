// A statement lists an account's rows newest first, page by page, each once.

import Bytes
import Foundation
import Testing

@testable import Store

@Suite("Transactions")
struct TransactionTests {
    let directory: TemporaryDirectory
    let store: HistoryStore

    /// 400 outcomes of four users that draw on `acme`, and a grant to `acme` at every tenth LSN.
    init() throws {
        directory = try TemporaryDirectory()
        let store = try HistoryStore(
            directory: directory.path, identity: testIdentity, hashKey: testHashKey, runRowsMax: 97)
        self.store = store
        for first in stride(from: UInt64(1), through: 400, by: 25) {
            try store.append { (writer) throws(StoreError) in
                for lsn in first..<first + 25 {
                    if lsn % 10 == 0 {
                        let kind = lsn % 20 == 0 ? "refunded" : "allocated"
                        try TestCredit(
                            lsn: lsn, kind: kind, recordedAt: Int64(lsn) * 1_000_000, expiresAt: 5, grantID: 8
                        )
                        .add(to: &writer)
                    }
                    var usage = makeUsage(lsn)
                    if lsn % 50 == 0 { usage.figures.state = .parked }
                    try usage.add(to: &writer)
                }
                return first + 24
            }
        }
    }

    private struct Expected: Hashable {
        var lsn: UInt64
        var type: String
    }

    private func expected(_ filter: TransactionFilter) -> [Expected] {
        var all: [Expected] = []
        for lsn in UInt64(1)...400 {
            let account = filter.account.map { String(decoding: $0, as: UTF8.self) }
            let time = Int64(lsn) * 1_000_000
            guard time >= filter.since ?? .min, time < filter.until ?? .max else { continue }
            if lsn % 10 == 0, account == nil || account == "acme" {
                all.append(Expected(lsn: lsn, type: lsn % 20 == 0 ? "refunded" : "allocated"))
            }
            if account == nil || account == "acme" || account == "acme/team/user\(lsn % 4)" {
                all.append(Expected(lsn: lsn, type: lsn % 50 == 0 ? "parked" : "deducted"))
            }
        }
        return all.filter { filter.types.isEmpty || filter.types.contains($0.type) }.reversed()
    }

    private func lines(_ page: TransactionPage) -> [Expected] {
        page.rows.map { row in
            switch row {
            case .usage(let usage): Expected(lsn: usage.figures.lsn, type: row.type)
            case .credit(let credit): Expected(lsn: credit.lsn, type: row.type)
            }
        }
    }

    @Test("an act is found by its key, within its organisation only, in memory, in runs and after a restart")
    func acts() throws {
        let reopened = try HistoryStore(
            directory: directory.path, identity: testIdentity, hashKey: testHashKey, runRowsMax: 97)
        for store in [store, reopened] {
            for lsn in stride(from: UInt64(10), through: 400, by: 10) {
                let key = Array("key-\(lsn)".utf8)
                #expect(try store.credit(idempotencyKey: key, organisation: Array("acme".utf8))?.lsn == lsn)
                #expect(try store.credit(idempotencyKey: key, organisation: Array("other".utf8)) == nil)
                #expect(try store.usage(requestID: key) == nil)
            }
            #expect(try store.credit(idempotencyKey: [], organisation: Array("acme".utf8)) == nil)
            #expect(
                try store.credit(idempotencyKey: Array("request-10".utf8), organisation: Array("acme".utf8))
                    == nil)
        }
    }

    @Test("keys read back at start, and written to disk after, keep the order of outcomes and acts")
    func orderAfterRestart() throws {
        let other = try TemporaryDirectory()
        func open() throws(StoreError) -> HistoryStore {
            try HistoryStore(
                directory: other.path, identity: testIdentity, hashKey: testHashKey, runRowsMax: 2_000)
        }
        var lsn: UInt64 = 0
        for _ in 0..<4 {
            // Each time, 600 rows of one account are read back and 600 are added.
            let store = try open()
            try store.append { (writer) throws(StoreError) in
                for _ in 0..<300 {
                    lsn += 1
                    var usage = makeUsage(lsn)
                    usage.account = "acme"
                    try usage.add(to: &writer)
                    try TestCredit(lsn: lsn, recordedAt: Int64(lsn) * 1_000_000).add(to: &writer)
                }
                return lsn
            }
        }
        var filter = TransactionFilter()
        filter.account = Array("acme".utf8)
        filter.limit = 500
        var ids: [Int64] = []
        let store = try open()
        repeat {
            let page = try store.transactions(filter)
            ids += page.rows.map(\.id)
            filter.before = page.next
        } while filter.before != nil
        #expect(ids == (1...2_400).reversed())
    }

    @Test("every filter gives the rows it should, by cursor and by offset, on pages of any size")
    func filters() throws {
        let accounts: [String?] = [nil, "acme", "acme/team/user1", "acme/team", "nobody"]
        let times: [(Int64?, Int64?)] = [
            (nil, nil), (100_000_000, nil), (nil, 250_000_000), (90_000_000, 300_000_001), (9, 8),
        ]
        let types: [Set<String>] = [[], ["deducted"], ["parked", "refunded"], ["allocated"], ["unknown"]]
        for account in accounts {
            for (since, until) in times {
                for types in types {
                    var filter = TransactionFilter()
                    filter.account = account.map { Array($0.utf8) }
                    (filter.since, filter.until, filter.types) = (since, until, types)
                    let wanted = expected(filter)
                    let context = "\(account ?? "all") \(since ?? -1) \(until ?? -1) \(types)"

                    var found: [Expected] = []
                    filter.limit = 70
                    var pages = 0
                    repeat {
                        let page = try store.transactions(filter)
                        found += lines(page)
                        filter.before = page.next
                        pages += 1
                    } while filter.before != nil && pages < 100
                    #expect(found == wanted, "\(context)")

                    filter.before = nil
                    filter.offset = 33
                    #expect(
                        lines(try store.transactions(filter)) == Array(wanted.dropFirst(33).prefix(70)),
                        "\(context)")
                }
            }
        }
    }

    @Test("a credit row comes back whole")
    func credit() throws {
        var filter = TransactionFilter()
        filter.types = ["allocated"]
        filter.limit = 1
        guard case .credit(let row) = try store.transactions(filter).rows.first else {
            Issue.record("no credit row")
            return
        }
        #expect(row.lsn == 390)
        #expect(row.account == "acme")
        #expect(row.amount == 1_000)
        #expect(row.balanceAfter == 5_000)
        #expect(row.source == "promo")
        #expect(row.details == "{\"reason\":\"launch\"}")
        #expect(row.idempotencyKey == Array("key-390".utf8))
        #expect(row.expiresAt == 5)
        #expect(row.grantID == 8)
    }

    @Test("a page is never larger than the limit, nor smaller than one row")
    func limits() throws {
        var filter = TransactionFilter()
        filter.limit = 1_000_000
        #expect(try store.transactions(filter).rows.count == 440)
        filter.limit = -5
        #expect(try store.transactions(filter).rows.count == 1)
        filter.before = .min
        #expect(try store.transactions(filter).rows.isEmpty)
        filter.before = nil
        filter.offset = -5
        #expect(try store.transactions(filter).rows.count == 1)
    }

    @Test("zones cover all rows without gaps and stay few")
    func zones() throws {
        let ids = try store.read { (database, _) throws(StoreError) in
            try Zones.ids(database, nil, nil)
        }
        #expect(ids == 1...440)
    }

    @Test("acts about a request are found by it, in memory, in runs and after a restart, each once")
    func references() throws {
        let other = try TemporaryDirectory()
        func open() throws(StoreError) -> HistoryStore {
            try HistoryStore(
                directory: other.path, identity: testIdentity, hashKey: testHashKey, runRowsMax: 20)
        }
        func check(_ store: HistoryStore) throws {
            let acts = try store.acts(about: Array("request-3".utf8), organisation: Array("acme".utf8))
            #expect(
                acts.map(\.lsn) == [10, 20] && acts.allSatisfy { $0.reference == Array("request-3".utf8) })
            #expect(
                try store.acts(about: Array("request-3".utf8), organisation: Array("globex".utf8)).isEmpty)
            #expect(try store.acts(about: [], organisation: Array("acme".utf8)).isEmpty)
            var filter = TransactionFilter()
            filter.reference = Array("request-3".utf8)
            #expect(try store.transactions(filter).rows.count == 3, "the charge and two acts, each once")
            filter.account = Array("globex".utf8)
            #expect(try store.transactions(filter).rows.isEmpty)
            #expect(try store.usage(requestID: Array("request-3".utf8))?.figures.lsn == 3)
            let key = try store.credit(
                idempotencyKey: Array("request-3".utf8), organisation: Array("acme".utf8))
            #expect(key?.lsn == 20)
        }
        let store = try open()
        for lsn in UInt64(1)...60 {
            try store.append { (writer) throws(StoreError) in
                if lsn == 10 || lsn == 20 {
                    // The second has the request's id for its key, too.
                    try TestCredit(lsn: lsn, key: lsn == 20 ? "request-3" : nil, reference: "request-3")
                        .add(to: &writer)
                } else {
                    try makeUsage(lsn).add(to: &writer)
                }
                return lsn
            }
            if lsn == 21 || lsn == 60 { try check(store) }
        }
        _ = try store.verifyEverything()
        try check(open())
    }
}
