// Records that are encoded beforehand and only patched: a copy of about a hundred bytes, and a store for
// each thing that differs.
//
//      request id            account        provider, model  tokens         event time   rest
//      0a 1c lt-runid-number 12 n load-…/user 22 … 2a …       38 aaa 40 bbb   b8 01 tttttttt c0 01 …
//                    ^^^^^^           ^^^^                       ^^^    ^^^        ^^^^^^^^
//
// What differs has a fixed width: the number is 16 hexadecimal digits, tokens are varints of three
// bytes (padded, which protobuf allows), and microseconds since 1970 take eight bytes from 1987 to 4253.
// The account's number has as many digits as it needs, so there is a template for each length.

import Bytes
import Pricing
import Wire

/// The templates of a run.
@safe
final class RecordTemplates {
    /// Where in a template the parts are that differ.
    struct Layout {
        var count = 0
        var number = 0
        var account = 0
        var digits = 0
        /// Where the texts of request id and account begin, and how long they are.
        var idText = 0
        var accountText = 0
        var accountCount = 0
        var source: UInt8 = 0
        var input = 0
        var output = 0
        var cacheRead = 0
        var eventTime = 0
        /// The part that says what is used: from the provider to the last count. Account and source stand before it.
        var payer = 0
        var usage = 0
        var usageEnd = 0
    }

    /// The longest record.
    static let recordBytesMax = 512
    private static let digitsMax = 8
    private let bytes: UnsafeMutablePointer<UInt8>
    private let layouts: UnsafeMutablePointer<Layout>
    /// The record that a hold's request takes its parts from.
    private let scratch: UnsafeMutablePointer<UInt8>
    private static let count = digitsMax * 4

    init(_ plan: WorkloadPlan) {
        unsafe bytes = .allocate(capacity: RecordTemplates.count * RecordTemplates.recordBytesMax)
        unsafe layouts = .allocate(capacity: RecordTemplates.count)
        unsafe scratch = .allocate(capacity: RecordTemplates.recordBytesMax)
        for index in 0..<RecordTemplates.count {
            let (template, layout) = RecordTemplates.build(
                plan, digits: index >> 2 + 1, isBYOK: index & 2 != 0, mayRefuse: index & 1 != 0)
            precondition(template.count <= RecordTemplates.recordBytesMax)
            for (offset, byte) in template.enumerated() {
                unsafe bytes[index * RecordTemplates.recordBytesMax + offset] = byte
            }
            unsafe (layouts + index).initialize(to: layout)
        }
    }

    deinit {
        unsafe scratch.deallocate()
        unsafe layouts.deallocate()
        unsafe bytes.deallocate()
    }

    /// Which template an item needs.
    @inline(__always)
    func index(of item: WorkItem) -> Int {
        (RecordTemplates.digitCount(item.account + 1) - 1) << 2 | (item.isBYOK ? 2 : 0)
            | (item.mayRefuse ? 1 : 0)
    }

    /// How long the records of a template are.
    @inline(__always)
    func recordBytes(_ index: Int) -> Int { unsafe layouts[index].count }

    /// Writes a record at `room`, which has space for `recordBytes(index)` bytes.
    @inline(__always)
    func write(
        _ index: Int, _ item: WorkItem, number: UInt64, eventTime: PackedTime,
        to room: UnsafeMutablePointer<UInt8>
    ) {
        let layout = unsafe layouts[index]
        unsafe room.update(from: bytes + index * RecordTemplates.recordBytesMax, count: layout.count)
        unsafe RecordTemplates.patch(hexadecimal: number, at: room + layout.number)
        unsafe RecordTemplates.patch(
            decimal: item.account + 1, digits: layout.digits, at: room + layout.account)
        unsafe RecordTemplates.patch(tokens: item.inputTokens, at: room + layout.input)
        unsafe RecordTemplates.patch(tokens: item.outputTokens, at: room + layout.output)
        unsafe RecordTemplates.patch(tokens: item.cacheReadTokens, at: room + layout.cacheRead)
        unsafe UnsafeMutableRawPointer(room + layout.eventTime)
            .storeBytes(of: eventTime.bytes.littleEndian, as: UInt64.self)
    }

    /// The length of a request id, which is also the id of its hold.
    static let idBytes = 28

    /// How many bytes stand before the record in a settlement: the id of the hold.
    static let settlementHeadBytes = 2 + idBytes + 3

    /// Writes what stands before a record of a settlement that was written at `record`.
    @inline(__always)
    func writeSettlementHead(
        _ index: Int, of record: UnsafeMutablePointer<UInt8>, to room: UnsafeMutablePointer<UInt8>
    ) {
        let layout = unsafe layouts[index]
        unsafe room[0] = 0x0a
        unsafe room[1] = UInt8(RecordTemplates.idBytes)
        unsafe (room + 2).update(from: record + layout.idText, count: RecordTemplates.idBytes)
        let end = 2 + RecordTemplates.idBytes
        unsafe room[end] = 0x12
        unsafe room[end + 1] = UInt8(truncatingIfNeeded: layout.count) | 0x80
        unsafe room[end + 2] = UInt8(truncatingIfNeeded: layout.count >> 7)
    }

    /// Writes the request for the hold that a record settles later, and returns its length: the hold's id, account and
    /// credential source, and of the usage what there is before the request: provider, model and counts.
    @inline(__always)
    func writeHold(
        _ index: Int, _ item: WorkItem, number: UInt64, to room: UnsafeMutablePointer<UInt8>
    ) -> Int {
        let layout = unsafe layouts[index]
        unsafe write(
            index, item, number: number, eventTime: PackedTime(microseconds: 1 << 49), to: scratch)
        unsafe room[0] = 0x0a
        unsafe room[1] = UInt8(RecordTemplates.idBytes)
        unsafe (room + 2).update(from: scratch + layout.idText, count: RecordTemplates.idBytes)
        var end = 2 + RecordTemplates.idBytes
        unsafe room[end] = 0x12
        unsafe room[end + 1] = UInt8(layout.accountCount)
        unsafe (room + end + 2).update(from: scratch + layout.accountText, count: layout.accountCount)
        end += 2 + layout.accountCount
        unsafe room[end] = 0x18
        unsafe room[end + 1] = layout.source
        let usageBytes = layout.usageEnd - layout.usage
        unsafe room[end + 2] = 0x2a
        unsafe room[end + 3] = UInt8(truncatingIfNeeded: usageBytes) | 0x80
        unsafe room[end + 4] = UInt8(truncatingIfNeeded: usageBytes >> 7)
        end += 5
        unsafe (room + end).update(from: scratch + layout.usage, count: usageBytes)
        return end + usageBytes
    }

    /// Writes what a quote is asked for, and returns its length: what a record says but for the request's id, its time
    /// and how it ended, which there are not yet.
    @inline(__always)
    func writeQuote(_ index: Int, _ item: WorkItem, to room: UnsafeMutablePointer<UInt8>) -> Int {
        let layout = unsafe layouts[index]
        unsafe write(index, item, number: 0, eventTime: PackedTime(microseconds: 1 << 49), to: scratch)
        let count = layout.usageEnd - layout.payer
        unsafe room[0] = 0x0a
        unsafe room[1] = UInt8(truncatingIfNeeded: count) | 0x80
        unsafe room[2] = UInt8(truncatingIfNeeded: count >> 7)
        unsafe (room + 3).update(from: scratch + layout.payer, count: count)
        return 3 + count
    }

    @inline(__always)
    static func digitCount(_ value: UInt32) -> Int {
        var (limit, digits): (UInt32, Int) = (10, 1)
        while value >= limit && digits < digitsMax {
            limit *= 10
            digits += 1
        }
        return digits
    }

    @inline(__always)
    static func patch(hexadecimal value: UInt64, at place: UnsafeMutablePointer<UInt8>) {
        let room = UnsafeMutableRawPointer(place)
        unsafe room.storeBytes(of: digits(UInt32(truncatingIfNeeded: value >> 32)), as: UInt64.self)
        unsafe room.storeBytes(
            of: digits(UInt32(truncatingIfNeeded: value)), toByteOffset: 8, as: UInt64.self)
    }

    /// Eight hexadecimal digits at once, in the order of memory. The sums wrap nowhere: each byte stays
    /// below 256.
    @inline(__always)
    private static func digits(_ value: UInt32) -> UInt64 {
        // Half after half, the value is drawn apart until each byte holds four bits.
        var spread = UInt64(value)
        spread = (spread & 0xffff_0000) << 16 | (spread & 0xffff)
        spread = (spread & 0x0000_ff00_0000_ff00) << 8 | (spread & 0x0000_00ff_0000_00ff)
        spread = (spread & 0x00f0_00f0_00f0_00f0) << 4 | (spread & 0x000f_000f_000f_000f)
        // 1 in each byte above 9: 0-9 are at 0x30, a-f begin 39 further on than they would follow.
        let letters = ((spread + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101
        return (spread + 0x3030_3030_3030_3030 + letters * 39).bigEndian
    }

    @inline(__always)
    static func patch(
        decimal value: UInt32, digits: Int, at place: UnsafeMutablePointer<UInt8>
    ) {
        var rest = value
        var digit = digits - 1
        while digit >= 0 {
            unsafe place[digit] = 48 + UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
            digit -= 1
        }
    }

    @inline(__always)
    private static func patch(tokens value: UInt32, at place: UnsafeMutablePointer<UInt8>) {
        unsafe place[0] = UInt8(truncatingIfNeeded: value) | 0x80
        unsafe place[1] = UInt8(truncatingIfNeeded: value >> 7) | 0x80
        unsafe place[2] = UInt8(truncatingIfNeeded: value >> 14)
    }

    private static func build(
        _ plan: WorkloadPlan, digits: Int, isBYOK: Bool, mayRefuse: Bool
    ) -> (bytes: [UInt8], layout: Layout) {
        var bytes: [UInt8] = []
        var layout = Layout()
        func field(_ number: Int, wireType: Int) {
            let tag = number << 3 | wireType
            if tag >= 0x80 { bytes.append(UInt8(tag & 0x7f) | 0x80) }
            bytes.append(UInt8(tag >= 0x80 ? tag >> 7 : tag))
        }
        func text(_ number: Int, _ value: [UInt8]) -> Int {
            precondition(value.count < 128, "names in a load test are shorter than 128 bytes")
            field(number, wireType: 2)
            bytes.append(UInt8(value.count))
            let start = bytes.count
            bytes += value
            return start
        }
        func number(_ number: Int, width: Int) -> Int {
            field(number, wireType: 0)
            let start = bytes.count
            bytes += [UInt8](repeating: 0x80, count: width - 1) + [0]
            return start
        }
        func word(_ number: Int, _ value: UInt8) {
            field(number, wireType: 0)
            bytes.append(value)
        }
        let run = RefusalFigure.digest(UInt64(plan.runID)).text.suffix(8)
        let requestID = text(1, Array("lt-\(run)-0000000000000000".utf8))
        layout.number = requestID + 12
        let zeros = String(repeating: "0", count: digits)
        layout.payer = bytes.count
        let account = text(2, Array("\(plan.accountPrefix)\(zeros)\(plan.accountSuffix)".utf8))
        layout.account = account + plan.accountPrefix.utf8.count
        layout.idText = requestID
        layout.accountText = account
        layout.accountCount = plan.accountPrefix.utf8.count + digits + plan.accountSuffix.utf8.count
        layout.source = isBYOK ? CredentialSource.byok.rawValue : CredentialSource.platform.rawValue
        layout.digits = digits
        word(3, isBYOK ? CredentialSource.byok.rawValue : CredentialSource.platform.rawValue)
        layout.usage = bytes.count
        _ = text(4, Array((isBYOK ? plan.byokProvider : plan.provider).utf8))
        _ = text(5, Array((isBYOK ? plan.byokModel : plan.model).utf8))
        layout.input = number(7, width: 3)
        layout.output = number(8, width: 3)
        layout.cacheRead = number(9, width: 3)
        layout.usageEnd = bytes.count
        layout.eventTime = number(23, width: 8)
        word(24, UsageSource.final.rawValue)
        word(25, RequestOutcome.completed.rawValue)
        if mayRefuse { word(26, OnInsufficient.refuse.rawValue) }
        layout.count = bytes.count
        return (bytes, layout)
    }
}

/// An event time as the eight bytes of its varint.
struct PackedTime: Hashable, Sendable {
    let microseconds: Int64
    let bytes: UInt64

    /// - Precondition: eight bytes are needed and suffice: from 2^49 to 2^56 - 1 microseconds.
    init(microseconds: Int64) {
        precondition(microseconds >= 1 << 49 && microseconds < 1 << 56)
        self.microseconds = microseconds
        var packed: UInt64 = 0
        for index in 0..<8 {
            let group = UInt64(microseconds >> Int64(7 * index)) & 0x7f
            packed |= (group | (index < 7 ? 0x80 : 0)) << UInt64(8 * index)
        }
        bytes = packed
    }
}
