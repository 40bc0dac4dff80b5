// What a load test needs of an answer, read in place.
//
// A receipt is read here in some 15 ns where unpacking it costs 250; that difference would otherwise be
// taken from the gateway, which shares the machine. Only the fields that the books need are looked at.
// The tests compare it with the real decoder on every kind of answer.

import Bytes
import Wire

/// The part of a receipt that goes into the books.
struct ScannedReceipt: Hashable, Sendable {
    var isParked = false
    var isDuplicate = false
    var sequence: UInt64 = 0
    var charge: Int64 = 0
}

/// The part of a refusal that is counted.
struct ScannedStatus: Sendable {
    var code: UInt64 = 0
    var reason = ByteView()
    var message = ByteView()
}

/// What an answer is; the views are into the received bytes.
enum ScannedAnswer: Sendable {
    case receipt(ScannedReceipt)
    /// The results, to be read with `ScannedBatch`.
    case batch(ByteView)
    case quote
    case hold
    case status(ScannedStatus)
    case other
}

/// Reads protobuf fields one after another.
@safe
struct FieldReader {
    private let base: UnsafePointer<UInt8>?
    private var offset = 0
    private let end: Int
    /// Whether something was found that is not protobuf; everything read since is zero.
    private(set) var isBroken = false

    init(_ view: ByteView) {
        unsafe base = view.buffer.baseAddress?.assumingMemoryBound(to: UInt8.self)
        end = view.count
    }

    var isAtEnd: Bool { offset == end }

    @inline(__always)
    mutating func varint() -> UInt64 {
        guard offset < end, let base = unsafe base else { return fail() }
        let first = unsafe base[offset]
        offset += 1
        if first < 0x80 { return UInt64(first) }
        var value = UInt64(first & 0x7f)
        var shift: UInt64 = 7
        while offset < end && shift < 64 {
            let byte = unsafe base[offset]
            offset += 1
            value |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        return fail()
    }

    @inline(__always)
    mutating func bytes() -> ByteView {
        let count = varint()
        guard !isBroken, count <= UInt64(end - offset), let base = unsafe base else {
            _ = fail()
            return ByteView()
        }
        defer { offset += Int(count) }
        return unsafe ByteView(base + offset, count: Int(count))
    }

    /// Passes over the value of a field.
    @inline(__always)
    mutating func skip(tag: UInt64) {
        if tag & 7 == 0 { _ = varint() } else { skipOther(tag: tag) }
    }

    private mutating func skipOther(tag: UInt64) {
        switch tag & 7 {
        case 1: skip(8)
        case 2: _ = bytes()
        case 5: skip(4)
        default: _ = fail()
        }
    }

    private mutating func skip(_ count: Int) {
        if end - offset < count { _ = fail() } else { offset += count }
    }

    private mutating func fail() -> UInt64 {
        isBroken = true
        offset = end
        return 0
    }
}

/// Reads answers.
enum AnswerScan {
    /// Reads a `ServerFrame`; nil if it is not one.
    @inline(__always)
    static func frame(_ message: ByteView) -> (callID: UInt64, answer: ScannedAnswer)? {
        var reader = FieldReader(message)
        var callID: UInt64 = 0
        var answer = ScannedAnswer.other
        while !reader.isAtEnd {
            let tag = reader.varint()
            switch tag {
            case 0x08: callID = reader.varint()
            case 0x12:
                guard let receipt = receipt(reader.bytes()) else { return nil }
                answer = .receipt(receipt)
            case 0x1a: answer = .batch(reader.bytes())
            case 0x22:
                _ = reader.bytes()
                answer = .quote
            case 0x2a:
                _ = reader.bytes()
                answer = .hold
            case 0x3a:
                guard let status = status(reader.bytes()) else { return nil }
                answer = .status(status)
            default: reader.skip(tag: tag)
            }
        }
        return reader.isBroken ? nil : (callID, answer)
    }

    /// Reads the next result of a batch; nil at its end or where it cannot be read.
    static func nextResult(_ reader: inout FieldReader) -> ScannedAnswer? {
        while !reader.isAtEnd {
            let tag = reader.varint()
            guard tag == 0x0a else {
                reader.skip(tag: tag)
                continue
            }
            var result = FieldReader(reader.bytes())
            if reader.isBroken { return nil }
            var answer = ScannedAnswer.other
            while !result.isAtEnd {
                let tag = result.varint()
                switch tag {
                case 0x0a:
                    guard let receipt = receipt(result.bytes()) else { return nil }
                    answer = .receipt(receipt)
                case 0x12:
                    guard let status = status(result.bytes()) else { return nil }
                    answer = .status(status)
                default: result.skip(tag: tag)
                }
            }
            return result.isBroken ? nil : answer
        }
        return nil
    }

    @inline(__always)
    private static func receipt(_ message: ByteView) -> ScannedReceipt? {
        var reader = FieldReader(message)
        var receipt = ScannedReceipt()
        while !reader.isAtEnd {
            let tag = reader.varint()
            switch tag {
            case 0x08: receipt.isParked = reader.varint() == 2
            case 0x10: receipt.sequence = reader.varint()
            case 0x18: receipt.charge = Int64(bitPattern: reader.varint())
            case 0x28: receipt.isDuplicate = reader.varint() != 0
            default: reader.skip(tag: tag)
            }
        }
        return reader.isBroken ? nil : receipt
    }

    private static func status(_ message: ByteView) -> ScannedStatus? {
        var reader = FieldReader(message)
        var status = ScannedStatus()
        while !reader.isAtEnd {
            let tag = reader.varint()
            switch tag {
            case 0x08: status.code = reader.varint()
            case 0x12: status.reason = reader.bytes()
            case 0x1a: status.message = reader.bytes()
            default: reader.skip(tag: tag)
            }
        }
        return reader.isBroken ? nil : status
    }
}
