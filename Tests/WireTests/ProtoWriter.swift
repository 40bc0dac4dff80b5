// Protobuf written by hand, so that the tests do not check the codec with itself.
// Source of the format: protobuf.dev, "Encoding".

/// Appends fields of a protobuf message.
struct ProtoWriter {
    var bytes: [UInt8] = []

    mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    mutating func number(_ field: UInt64, _ value: UInt64) {
        varint(field << 3)
        varint(value)
    }

    mutating func bytes(_ field: UInt64, _ value: [UInt8]) {
        varint(field << 3 | 2)
        varint(UInt64(value.count))
        bytes += value
    }

    mutating func text(_ field: UInt64, _ value: String) { bytes(field, Array(value.utf8)) }

    mutating func message(_ field: UInt64, _ build: (inout ProtoWriter) -> Void) {
        var inner = ProtoWriter()
        build(&inner)
        bytes(field, inner.bytes)
    }

    static func build(_ build: (inout ProtoWriter) -> Void) -> [UInt8] {
        var writer = ProtoWriter()
        build(&writer)
        return writer.bytes
    }
}

/// The smallest valid record, as a message.
func smallRecord(_ more: (inout ProtoWriter) -> Void = { _ in }) -> [UInt8] {
    ProtoWriter.build { record in
        record.text(1, "r-1")
        record.text(2, "acme/alice")
        record.number(3, 1)
        record.text(4, "openai")
        record.text(5, "gpt-4o")
        record.number(7, 100)
        record.number(23, 1_764_000_000_000_000)
        more(&record)
    }
}

/// A `ClientFrame` with one report.
func reportFrame(callID: UInt64 = 7, _ record: [UInt8]) -> [UInt8] {
    ProtoWriter.build { frame in
        frame.number(1, callID)
        frame.bytes(3, record)
    }
}

/// SplitMix64, so that a seed gives the same bytes everywhere. The arithmetic wraps by definition.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
