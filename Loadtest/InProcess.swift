// The middle alone: what the ledger and its journal carry without sockets, frames and protobuf.
//
// One thread does what an event loop does between decoding and encoding: it prepares, decides and hands over
// the records of a turn, and goes on while the journal makes earlier turns durable. Every record has a request
// id of its own, one of `--accounts` accounts, and is priced. What is measured ends when the last record is
// durable; then the gateway's own books must balance, and its charges must be the sum of the receipts.

import ArgumentParser
import Bytes
import Foundation
import Gateway
import Ledger
import Logging
import Platform
import Pricing
import Wire

/// The command line of the load without a network.
struct InProcessCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "in-process",
        abstract: "Measures pricing, ledger and journal on one thread, without a network.",
        discussion: """
            Opens a gateway on a data directory of its own, which it removes again.
            """)

    @Option(help: "Accounts to report for.") var accounts = 100_000
    @Option(help: "Seconds to run.") var duration = 5
    @Option(help: "Records decided between two hand-overs to the journal.") var turn = 1_024
    @Option(help: "Records decided and not durable yet, at the most.") var inFlight = 65_536
    @Option(help: "Percent of the records that used the customer's own provider key.") var byokPercent = 0.0
    @Option(help: "Decides every choice that is drawn.") var seed: UInt64 = 42
    @Option(help: "The directory in which to make the data directory; TMPDIR if not given.") var under:
        String?
    @Flag(help: "Print the result as one JSON object.") var json = false

    func validate() throws {
        for (name, value, range) in [
            ("--accounts", accounts, 1...LoadLimits.accountsMax), ("--duration", duration, 1...86_400),
            ("--turn", turn, 1...65_536), ("--in-flight", inFlight, turn...10_000_000),
        ] where !range.contains(value) {
            throw ValidationError(
                "\(name) is \(value); it is from \(range.lowerBound) to \(range.upperBound)")
        }
        guard byokPercent >= 0, byokPercent <= 100 else {
            throw ValidationError("--byok-percent is \(byokPercent); it is a share from 0 to 100")
        }
    }

    func run() async throws {
        ProcessMemory.keepFreedMemory()
        let parent = under.map { URL(filePath: $0) } ?? FileManager.default.temporaryDirectory
        let directory = parent.appending(path: "tollgate-loadtest-\(getpid())")
        defer { remove(directory) }
        var logger = Logger(label: "loadtest")
        logger.logLevel = .warning
        let gateway = try Gateway.open(GatewaySettings(dataDirectory: directory.path), logger: logger)
        var plan = WorkloadPlan()
        plan.accounts = accounts
        plan.byokShare = Share(percent: byokPercent)
        plan.seed = seed
        plan.runID = UInt32(truncatingIfNeeded: SystemEntropy().next())
        let load = InProcessLoad(plan: plan, turn: turn, inFlightMax: inFlight)
        let opening = ProcessMemory.residentBytes
        try await load.openAccounts(in: gateway)
        let opened = ProcessMemory.residentBytes
        let result = load.run(gateway, nanoseconds: UInt64(duration) * 1_000_000_000)
        let totals = gateway.ledger.totals()
        let ids = gateway.ledger.rememberedIDs()
        await gateway.stop()
        let summary = InProcessSummary(
            plan: plan, result: result, accountBytes: opened - opening, ids: ids,
            booksBalance: totals.balance && totals.charged == result.charged)
        print(json ? summary.json : summary.lines.joined(separator: "\n"))
        if !summary.booksBalance || result.failed > 0 { throw ExitCode(1) }
    }

    private func remove(_ directory: URL) {
        do {
            try FileManager.default.removeItem(at: directory)
        } catch {
            print("loadtest: \(directory.path) is left behind: \(error)")
        }
    }
}

/// What a run without a network brought.
struct InProcessResult: Sendable {
    var records = 0
    /// Nanocredits, the sum of the receipts.
    var charged: Int128 = 0
    /// Records that were answered with anything but a fresh receipt.
    var failed = 0
    var nanoseconds: UInt64 = 0
}

/// Takes records through a lane.
struct InProcessLoad: Sendable {
    let plan: WorkloadPlan
    let turn: Int
    let inFlightMax: Int

    /// Records that are prepared before the first of them is decided, as the transport does it.
    static let recordsAtOnce = CallSlots<ReportReceipt>.count

    /// Opens the accounts, each with a million credits.
    func openAccounts(in gateway: Gateway) async throws {
        let workload = Workload(plan)
        for first in stride(from: 0, to: plan.accounts, by: 10_000) {
            let openings = (first..<min(first + 10_000, plan.accounts)).map { index in
                AccountOpening(
                    path: Array(workload.accountName(UInt32(index)).utf8),
                    settings: AccountSettings(tier: Array("professional".utf8)),
                    initialGrant: GrantRequest(kind: .purchased, amount: 1_000_000_000_000_000))
            }
            for outcome in await gateway.open(openings) where outcome != .opened {
                throw ValidationError("an account could not be opened: \(outcome)")
            }
        }
    }

    /// Decides records until the time is over, and waits until all of them are durable.
    func run(_ gateway: Gateway, nanoseconds: UInt64) -> InProcessResult {
        let clock = SystemClock()
        let maker = RecordMaker(plan)
        var lane = Lane(gateway)
        let progress = CycleProgress()
        gateway.add(progress)
        defer { gateway.remove(progress) }
        var records = CallSlots<UsageRecord> { _ in UsageRecord() }
        var prepared = CallSlots<PreparedReport> { _ in PreparedReport() }
        var receipts = CallSlots<ReportReceipt>(repeating: ReportReceipt())
        var result = InProcessResult()
        var turns = TurnQueue()
        let started = clock.monotonicNanoseconds()
        while clock.monotonicNanoseconds() - started < nanoseconds {
            lane.begin()
            let eventTime = gateway.now()
            for first in stride(from: 0, to: turn, by: Self.recordsAtOnce) {
                let count = min(turn - first, Self.recordsAtOnce)
                for slot in 0..<count {
                    maker.fill(&records[slot], slot: slot, number: UInt64(result.records + first + slot))
                    records[slot].eventTime = eventTime
                    lane.prepare(records[slot], into: &prepared[slot])
                }
                lane.prefetchFirst(of: count, &prepared)
                for slot in 0..<count {
                    lane.prefetch(behind: slot, of: count, &prepared)
                    let fault = lane.decide(records[slot], prepared[slot], into: &receipts[slot])
                    if fault != nil || receipts[slot].duplicate {
                        result.failed += 1
                    } else {
                        result.charged += Int128(receipts[slot].charge)
                    }
                }
                lane.clearPrepared()
            }
            result.records += turn
            turns.append(cycle: lane.end(), count: turn)
            turns.remove(through: gateway.durableCycle)
            while turns.recordCount > inFlightMax { turns.remove(through: progress.next(gateway)) }
        }
        while turns.recordCount > 0 { turns.remove(through: progress.next(gateway)) }
        result.nanoseconds = clock.monotonicNanoseconds() - started
        return result
    }
}

/// The turns that are not durable yet, oldest first.
private struct TurnQueue {
    private var turns: [(cycle: UInt64, count: Int)] = []
    private(set) var recordCount = 0

    mutating func append(cycle: UInt64, count: Int) {
        turns.append((cycle, count))
        recordCount += count
    }

    mutating func remove(through cycle: UInt64) {
        let durable = turns.prefix { $0.cycle <= cycle }
        recordCount -= durable.reduce(0) { $0 + $1.count }
        turns.removeFirst(durable.count)
    }
}

/// Sleeps until the journal gets on.
private final class CycleProgress: DurabilityListener {
    private let wakeup = Wakeup()

    func cycleDidBecomeDurable(_ cycle: UInt64) { wakeup.signal() }

    /// The durable cycle, after one more has become so.
    func next(_ gateway: Gateway) -> UInt64 {
        wakeup.wait()
        return gateway.durableCycle
    }
}

/// Draws records. The texts of a slot are written into a block of memory that stays in the cache, as those of a
/// read from a socket do.
@safe
private struct RecordMaker: ~Copyable {
    private let workload: Workload
    private let bytes: UnsafeMutablePointer<UInt8>
    private let accountPrefixBytes: Int
    private let accountSuffix: [UInt8]
    private var accounts: [Int] = []
    private var platform = (provider: 0..<0, model: 0..<0)
    private var byok = (provider: 0..<0, model: 0..<0)
    private var ids: [Range<Int>] = []
    private static let numberDigits = 16

    init(_ plan: WorkloadPlan) {
        workload = Workload(plan)
        var text: [UInt8] = []
        func add(_ string: String) -> Range<Int> {
            text += Array(string.utf8)
            return text.count - string.utf8.count..<text.count
        }
        accountPrefixBytes = plan.accountPrefix.utf8.count
        accountSuffix = Array(plan.accountSuffix.utf8)
        platform = (add(plan.provider), add(plan.model))
        byok = (add(plan.byokProvider), add(plan.byokModel))
        let run = RefusalFigure.digest(UInt64(plan.runID)).text.suffix(8)
        for _ in 0..<InProcessLoad.recordsAtOnce {
            accounts.append(add(workload.accountName(.max - 1)).lowerBound)
            ids.append(add("in-\(run)-" + String(repeating: "0", count: Self.numberDigits)))
        }
        unsafe bytes = .allocate(capacity: text.count)
        for (offset, byte) in text.enumerated() { unsafe bytes[offset] = byte }
    }

    deinit { unsafe bytes.deallocate() }

    private func view(_ range: Range<Int>) -> ByteView {
        unsafe ByteView(UnsafePointer(bytes + range.lowerBound), count: range.count)
    }

    /// The path of an account, as `Workload.accountName` has it.
    private func account(_ number: UInt32, slot: Int) -> ByteView {
        let start = accounts[slot]
        var end = start + accountPrefixBytes
        let digits = RecordTemplates.digitCount(number)
        unsafe RecordTemplates.patch(decimal: number, digits: digits, at: bytes + end)
        end += digits
        for byte in accountSuffix {
            unsafe bytes[end] = byte
            end += 1
        }
        return view(start..<end)
    }

    /// Writes the record with this number over `record`; its texts are valid until the slot's next.
    func fill(_ record: inout UsageRecord, slot: Int, number: UInt64) {
        let item = workload.item(number)
        let id = ids[slot]
        unsafe RecordTemplates.patch(hexadecimal: number, at: bytes + id.upperBound - Self.numberDigits)
        record.requestID = view(id)
        record.account = account(item.account + 1, slot: slot)
        record.credentialSource = item.isBYOK ? .byok : .platform
        record.provider = view(item.isBYOK ? byok.provider : platform.provider)
        record.model = view(item.isBYOK ? byok.model : platform.model)
        record.usage.inputTokens = Int64(item.inputTokens)
        record.usage.outputTokens = Int64(item.outputTokens)
        record.usage.cacheReadTokens = Int64(item.cacheReadTokens)
    }
}

/// What a run tells at its end.
struct InProcessSummary: Sendable {
    let plan: WorkloadPlan
    let result: InProcessResult
    /// Growth of the resident memory while the accounts were opened.
    let accountBytes: Int
    /// Remembered request ids, and the bytes of their tables.
    let ids: (count: Int, bytes: Int)
    let booksBalance: Bool

    var rate: Int {
        result.nanoseconds == 0 ? 0 : Int(Double(result.records) * 1e9 / Double(result.nanoseconds))
    }
    private var bytesPerAccount: Int { accountBytes / plan.accounts }
    /// Few accounts do not fill the blocks of memory that tables grow by, so their figure would say nothing.
    private static let accountsForMemory = 500_000

    private var memoryLine: String {
        let id = "\(bytesPerID) bytes of memory for a remembered id"
        guard plan.accounts >= Self.accountsForMemory else { return id }
        return id + ", \(bytesPerAccount) for an account with a grant"
    }

    private var bytesPerID: Int { ids.count == 0 ? 0 : ids.bytes / ids.count }

    /// The lines for a person.
    var lines: [String] {
        [
            "\(Number.grouped(rate)) durable records/s on one thread, \(Number.grouped(result.records)) in "
                + "\(Number.seconds(result.nanoseconds)), \(Number.grouped(plan.accounts)) accounts, seed \(plan.seed)",
            memoryLine,
            booksBalance && result.failed == 0
                ? "books balance: charges are the sum of the receipts, \(Number.grouped(result.charged)) nanocredits"
                : "BOOKS DO NOT BALANCE, or \(Number.grouped(result.failed)) records were not charged",
        ]
    }

    /// The same as one JSON object; amounts are decimal strings.
    var json: String {
        "{\"records_per_second\":\(rate),\"records\":\(result.records),"
            + "\"nanoseconds\":\(result.nanoseconds),\"accounts\":\(plan.accounts),\"seed\":\(plan.seed),"
            + "\"bytes_per_account\":\(bytesPerAccount),\"bytes_per_remembered_id\":\(bytesPerID),"
            + "\"charged_nanocredits\":\"\(result.charged)\",\"failed\":\(result.failed),"
            + "\"books_balance\":\(booksBalance)}"
    }
}
