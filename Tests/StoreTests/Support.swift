// What the store's tests share: directories that clean up, a seeded generator, rows to write.

import Bytes
import Foundation
import Testing

@testable import Store

/// A directory that goes away with its owner.
final class TemporaryDirectory: Sendable {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "store-tests-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        do {
            try FileManager.default.removeItem(atPath: path)
        } catch {
            print("left behind \(path): \(error)")
        }
    }

    /// Copies the database `file`, and its WAL unless told otherwise, as a crash would leave them.
    func copy(_ file: StoreFile, withWAL: Bool = true) throws -> TemporaryDirectory {
        let copy = try TemporaryDirectory()
        for suffix in withWAL ? ["", "-wal"] : [""] {
            let source = file.path(in: path) + suffix
            guard FileManager.default.fileExists(atPath: source) else { continue }
            try FileManager.default.copyItem(atPath: source, toPath: file.path(in: copy.path) + suffix)
        }
        return copy
    }

    func bytes(_ file: StoreFile, suffix: String = "") throws -> [UInt8] {
        Array(try Data(contentsOf: URL(fileURLWithPath: file.path(in: path) + suffix)))
    }

    func write(_ bytes: [UInt8], _ file: StoreFile) throws {
        try Data(bytes).write(to: URL(fileURLWithPath: file.path(in: path)))
    }
}

/// SplitMix64: the same numbers for the same seed.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var word = state
        word = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
        word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
        return word ^ (word >> 31)
    }
}

extension Array {
    /// One of the elements, of which there is at least one.
    func pick(_ generator: inout SeededGenerator) -> Element {
        self[Int.random(in: indices, using: &generator)]
    }
}

let testIdentity = DirectoryIdentity(id: "6f1c0f0e-directory", creditValue: "0.001", shardCount: 8)
let testHashKey = HashKey(first: 11, second: 22)

func testStamp(
    _ lsn: UInt64, sequences: [UInt64]? = nil, segments: [String] = ["0001.seg", "0002.seg"]
) -> CheckpointStamp {
    CheckpointStamp(
        epoch: 3, appliedLSN: lsn, durableLSN: lsn + 5,
        chain: [UInt8](repeating: UInt8(lsn % 251), count: 32),
        liveSegments: segments, writtenAt: 1_753_000_000_000_000 + Int64(lsn),
        sequences: sequences ?? (0..<UInt64(testIdentity.shardCount)).map { $0 * 10 + lsn })
}

/// An account as the tests remember it.
struct Account: Hashable {
    var path: [UInt8]
    var balance: Int64
    var state: [UInt8]
}

struct AccountKey: Hashable, Comparable {
    var shard: UInt16
    var number: UInt32

    static func < (left: AccountKey, right: AccountKey) -> Bool {
        (left.shard, left.number) < (right.shard, right.number)
    }
}

extension CheckpointStore {
    /// Writes `accounts` as one checkpoint.
    @discardableResult
    func write(_ accounts: [AccountKey: Account], _ stamp: CheckpointStamp) throws(StoreError) -> Outcome {
        try write { (writer) throws(StoreError) in
            try Self.write(accounts, &writer)
            return stamp
        }
    }

    static func write(_ accounts: [AccountKey: Account], _ writer: inout CheckpointWriter) throws(StoreError)
    {
        for (key, account) in accounts.sorted(by: { $0.key < $1.key }) {
            try account.path.withView { (path) throws(StoreError) in
                try account.state.withView { (state) throws(StoreError) in
                    try writer.write(
                        CheckpointRow(
                            shard: key.shard, number: key.number, path: path, balance: account.balance,
                            state: state))
                }
            }
        }
    }

    /// Everything in the file.
    func loadAll() throws(StoreError) -> (Checkpoint?, [AccountKey: Account]) {
        var accounts: [AccountKey: Account] = [:]
        let checkpoint = try load { (row) throws(StoreError) in
            accounts[AccountKey(shard: row.shard, number: row.number)] = Account(
                path: Array(row.path), balance: row.balance, state: Array(row.state))
        }
        return (checkpoint, accounts)
    }
}

func makeAccounts(_ count: Int, _ generator: inout SeededGenerator) -> [AccountKey: Account] {
    var accounts: [AccountKey: Account] = [:]
    for index in 0..<count {
        let shard = UInt16(index % testIdentity.shardCount)
        accounts[AccountKey(shard: shard, number: UInt32(index / testIdentity.shardCount))] = makeAccount(
            index, &generator)
    }
    return accounts
}

func makeAccount(_ index: Int, _ generator: inout SeededGenerator) -> Account {
    Account(
        path: Array("acme\(index % 5)/team/user-\(index)".utf8),
        balance: Int64.random(in: -1_000_000_000_000...1_000_000_000_000, using: &generator),
        state: (0..<Int.random(in: 0...200, using: &generator)).map { _ in
            UInt8.random(in: 0...255, using: &generator)
        })
}

/// An owned usage row, lent to the writer.
struct TestUsage {
    var figures = UsageFigures()
    var account = "acme/search/alice"
    var wallet = "acme"
    var requestID = Array("request-1".utf8)
    var parkedReason = ""
    var provider = "openai"
    var model = "gpt-4o"
    var serviceTier = ""
    var tier = "professional"
    var content: [UInt8] = [1, 2, 3]
    var extra: [UInt8] = []
    var settles: UInt64 = 0
    var holdKey: Hash128?
    var valuedAt: Int64 = 0

    func add(to writer: inout HistoryWriter) throws(StoreError) {
        var row = HistoryUsage()
        row.figures = figures
        let texts = [account, wallet, parkedReason, provider, model, serviceTier, tier].map { Array($0.utf8) }
        // One buffer for all texts, so that one closure lends them.
        let all = texts.flatMap { $0 } + requestID + content + extra
        try all.withView { (view) throws(StoreError) in
            var offset = 0
            func take(_ count: Int) -> ByteView {
                defer { offset += count }
                return view[offset..<offset + count]
            }
            row.account = take(texts[0].count)
            row.wallet = take(texts[1].count)
            row.parkedReason = take(texts[2].count)
            row.provider = take(texts[3].count)
            row.model = take(texts[4].count)
            row.serviceTier = take(texts[5].count)
            row.tier = take(texts[6].count)
            row.requestID = take(requestID.count)
            row.content = take(content.count)
            row.extra = take(extra.count)
            row.settles = settles
            row.holdKey = holdKey
            row.valuedAt = valuedAt
            try writer.add(row)
        }
    }
}

/// An owned credit row, lent to the writer.
struct TestCredit {
    var lsn: UInt64
    var account = "acme"
    var kind = "allocated"
    var amount: Int64 = 1_000
    var recordedAt: Int64 = 0
    var expiresAt: Int64?
    var grantID: UInt64?
    var key: String?
    var reference = ""
    var holdKey: Hash128?

    func add(to writer: inout HistoryWriter) throws(StoreError) {
        var row = HistoryCredit()
        row.lsn = lsn
        row.shard = 1
        row.sequence = lsn
        row.recordedAt = recordedAt
        row.amount = amount
        row.balanceAfter = 5_000
        row.expiresAt = expiresAt
        row.grantID = grantID
        row.holdKey = holdKey
        let texts = [account, kind, "promo", "{\"reason\":\"launch\"}", key ?? "key-\(lsn)", reference]
            .map { Array($0.utf8) }
        try texts.flatMap { $0 }.withView { (view) throws(StoreError) in
            var offset = 0
            func take(_ count: Int) -> ByteView {
                defer { offset += count }
                return view[offset..<offset + count]
            }
            row.account = take(texts[0].count)
            row.kind = take(texts[1].count)
            row.source = take(texts[2].count)
            row.details = take(texts[3].count)
            row.idempotencyKey = take(texts[4].count)
            row.reference = take(texts[5].count)
            try writer.add(row)
        }
    }
}

/// The key that the tests give request `number`.
func idKey(_ number: UInt64) -> Hash128 {
    let bytes = (0..<8).map { UInt8(truncatingIfNeeded: number >> (8 * UInt64($0))) }
    return bytes.withView { KeyedHasher.hash($0, key: HashKey(first: 1, second: 2)) }
}

/// The row that the tests write for request `number`, at LSN `number`.
func makeUsage(_ number: UInt64) -> TestUsage {
    var usage = TestUsage()
    usage.figures.lsn = number
    usage.figures.shard = UInt16(number % UInt64(testIdentity.shardCount))
    usage.figures.sequence = number / 8
    usage.figures.recordedAt = 1_000_000 * Int64(number)
    usage.figures.eventTime = 1_000_000 * Int64(number) - 500
    usage.figures.idKey = idKey(number)
    usage.figures.digest = number &* 0x9e37_79b9_7f4a_7c15
    usage.figures.credentialSource = 1
    usage.figures.counts.inputTokens = Int64(number % 1_000)
    usage.figures.counts.outputTokens = 7
    usage.figures.charge = Int64(number)
    usage.figures.balanceAfter = 1_000_000 - Int64(number)
    usage.account = "acme/team/user\(number % 4)"
    usage.requestID = Array("request-\(number)".utf8)
    return usage
}

/// Runs `body` and returns the store's error, or nil if it threw none.
func storeError(_ body: () throws(StoreError) -> Void) -> StoreError? {
    do throws(StoreError) {
        try body()
        return nil
    } catch {
        return error
    }
}
