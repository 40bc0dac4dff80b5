// Checksums, hashes, packed numbers and views: against published vectors, a second implementation, and round trips.

import Testing

@testable import Bytes

/// What a simple generator gives for a seed: random enough to fill buffers, the same every time.
func bytes(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    var state = seed
    return (0..<count).map { _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return UInt8(truncatingIfNeeded: state >> 56)
    }
}

@Suite("CRC-32C")
struct CRC32CTests {
    @Test("the published examples have their checksums")
    func vectors() {
        // RFC 3720, appendix B.4, and the check value of the catalogue of CRC algorithms.
        let examples: [([UInt8], UInt32)] = [
            (Array(repeating: 0, count: 32), 0x8a91_36aa), (Array(repeating: 0xff, count: 32), 0x62a8_ab43),
            (Array(0..<32), 0x46dd_794e), (Array((0..<32).reversed()), 0x113f_db5c),
            (Array("123456789".utf8), 0xe306_9283), ([], 0),
        ]
        for (bytes, expected) in examples {
            #expect(bytes.withView { CRC32C.checksum($0) } == expected)
            #expect(bytes.withView { unsafe CRC32C.checksumByTable($0.buffer, continuing: 0) } == expected)
        }
    }

    @Test("the instruction and the table agree at every length and offset")
    func instructionAndTable() {
        let buffer = bytes(200)
        buffer.withView { view in
            for start in 0..<9 {
                for end in start...view.count {
                    let part = view[start..<end]
                    let table = unsafe CRC32C.checksumByTable(part.buffer, continuing: 7)
                    #expect(CRC32C.checksum(part, continuing: 7) == table, "\(start)..<\(end)")
                }
            }
        }
    }

    @Test("a checksum continues over any cut")
    func continuing() {
        let buffer = bytes(100)
        buffer.withView { view in
            for cut in 0...view.count {
                let first = CRC32C.checksum(view[0..<cut])
                #expect(CRC32C.checksum(view[cut..<view.count], continuing: first) == CRC32C.checksum(view))
            }
        }
    }
}

@Suite("the keyed hash")
struct KeyedHashTests {
    /// The hash of the bytes 0, 1, 2 and so on, this many, under the key of the bytes 0 to 15: computed by an
    /// independent implementation that also gives the published SipHash-2-4 values.
    static let expected: [(UInt8, UInt64, UInt64)] = [
        (0, 0xbea5_8827_b2bc_7ee7, 0x0130_30dd_6adb_62fd),
        (1, 0xa8ed_d360_0437_6ffc, 0x63f0_2f2b_cc73_055e),
        (7, 0xc3e0_aaf2_23b9_8410, 0x77ab_4808_c82e_2fa6),
        (8, 0xb4da_e3d5_e1fe_12aa, 0x99c7_f935_ab16_4f72),
        (9, 0x9439_f32c_04b8_dd81, 0x427c_1394_000e_72f4),
        (15, 0x6c52_bdb2_0555_7ec1, 0x0901_7e1e_eccd_2129),
        (16, 0xeb8e_5115_57d9_a8d0, 0x9317_9e3d_f8b0_13b5),
        (31, 0x8b85_3c5b_1c96_ea42, 0x1090_a7df_50e5_c317),
        (63, 0x6f42_fe4e_e300_584c, 0xad60_52a7_0a6b_9f07),
    ]

    @Test("SipHash-1-3 with 128 bits of output has the values of a second implementation")
    func vectors() {
        let key = HashKey(first: 0x0706_0504_0302_0100, second: 0x0f0e_0d0c_0b0a_0908)
        for (count, low, high) in Self.expected {
            let hash = Array(UInt8(0)..<count).withView { KeyedHasher.hash($0, key: key) }
            #expect(hash == Hash128(low: low, high: high), "\(count) bytes")
        }
    }

    @Test("message codes are the published SipHash-2-4 ones of 128 bits")
    func codes() {
        // The first of vectors_sip128 in the reference implementation, for the same key and inputs.
        let published: [[UInt8]] = [
            [0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02, 0x93],
            [0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59, 0x11, 0x9b, 0x22, 0xfc, 0x45],
            [0x81, 0x77, 0x22, 0x8d, 0xa4, 0xa4, 0x5d, 0xc7, 0xfc, 0xa3, 0x8b, 0xde, 0xf6, 0x0a, 0xff, 0xe4],
        ]
        let key = HashKey(first: 0x0706_0504_0302_0100, second: 0x0f0e_0d0c_0b0a_0908)
        for (count, code) in published.enumerated() {
            var packer = BytePacker()
            let found = Array(UInt8(0)..<UInt8(count)).withView { KeyedHasher.code(of: $0, key: key) }
            packer.append(fixed: found.low)
            packer.append(fixed: found.high)
            #expect(Array(packer.view) == code, "\(count) bytes")
        }
    }

    /// By `openssl mac -macopt hexkey:000102030405060708090a0b0c0d0e0f -macopt size:16 SipHash`.
    private static let longCodes: [Int: (UInt64, UInt64)] = [
        7: (0x53c1_dbd8_beeb_f1a1, 0x3982_f01f_a64a_b8c0),
        8: (0x61f5_5862_baa9_623b, 0xb497_14f3_64e2_830f),
        9: (0xabba_d90a_0699_4426, 0xed71_6dbb_028b_7fc4),
        15: (0x11a8_b033_99e9_9354, 0xd9c3_cf97_0fec_087e),
        16: (0xbb54_b067_caa4_e26e, 0x7705_2385_bf15_33fd),
        57: (0xfe49_ed46_961e_4874, 0x8e69_0416_3024_620f),
        63: (0x4a83_502f_77d1_5051, 0x7cbd_3f97_9a06_3e50),
        64: (0x3fcd_d4c0_7d07_af1e, 0x4ba7_5836_384d_ad8c),
        65: (0xc8e1_91fe_983e_2302, 0xef61_5228_0dca_0d22),
        200: (0x9dff_12ed_f453_587c, 0x2d02_4740_bc79_6a83),
    ]

    @Test("of longer messages they are those of OpenSSL", arguments: [7, 8, 9, 15, 16, 57, 63, 64, 65, 200])
    func longCodes(count: Int) throws {
        let expected = try #require(Self.longCodes[count])
        let key = HashKey(first: 0x0706_0504_0302_0100, second: 0x0f0e_0d0c_0b0a_0908)
        let found = (0..<count).map { UInt8($0) }.withView { KeyedHasher.code(of: $0, key: key) }
        #expect(found == Hash128(low: expected.0, high: expected.1))
    }

    @Test("every bit of the input and of the key changes the hash")
    func sensitivity() {
        let key = HashKey(first: 1, second: 2)
        let input = bytes(23)
        let hash = input.withView { KeyedHasher.hash($0, key: key) }
        for bit in 0..<input.count * 8 {
            var other = input
            other[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(other.withView { KeyedHasher.hash($0, key: key) } != hash)
        }
        for bit in 0..<64 {
            let first = HashKey(first: 1 ^ (1 << UInt64(bit)), second: 2)
            let second = HashKey(first: 1, second: 2 ^ (1 << UInt64(bit)))
            #expect(input.withView { KeyedHasher.hash($0, key: first) } != hash)
            #expect(input.withView { KeyedHasher.hash($0, key: second) } != hash)
        }
        #expect((input + [0]).withView { KeyedHasher.hash($0, key: key) } != hash)
    }
}

@Suite("packed numbers")
struct PackingTests {
    static let edges: [UInt64] =
        [0, 1, 127, 128, 16_383, 16_384, .max, .max - 1] + (0..<64).map { 1 << UInt64($0) }

    @Test("every number comes back, in as few bytes as protobuf takes")
    func numbers() throws {
        var packer = BytePacker(capacity: 1)
        for value in Self.edges {
            packer.clear()
            packer.append(value)
            #expect(packer.count == max(1, (64 - value.leadingZeroBitCount + 6) / 7))
            let signed = Int64(bitPattern: value)
            packer.append(signed)
            packer.append(fixed: value)
            var unpacker = ByteUnpacker(packer.view)
            #expect(try unpacker.unsigned() == value)
            #expect(try unpacker.signed() == signed)
            #expect(try unpacker.fixed() == value)
            #expect(unpacker.isAtEnd)
        }
    }

    /// The plainest way to write a number, to hold the quick one against.
    static func plain(_ value: UInt64) -> [UInt8] {
        var rest = value
        var bytes: [UInt8] = []
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7f) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }

    @Test(
        "numbers of every length are the bytes of the plain way, and come back at the end and before more bytes"
    )
    func everyLength() throws {
        for bits in UInt64(0)...64 {
            for step in UInt64(0)..<64 {
                let mixed = (step + 1) &* 0x9e37_79b9_7f4a_7c15 ^ bits
                let value = bits == 0 ? 0 : mixed >> (64 - bits) | 1 << (bits - 1)
                let plain = Self.plain(value)
                var packer = BytePacker(capacity: 1)
                packer.append(value)
                #expect(Array(packer.view) == plain)
                packer.append(bytesMax: BytePacker.numberBytesMax) { $0.append(value) }
                #expect(Array(packer.view) == plain + plain)
                for behind in [[], [UInt8](repeating: 0xff, count: 9), [UInt8](repeating: 0, count: 9)] {
                    try (plain + behind).withView { (view) throws in
                        var unpacker = ByteUnpacker(view)
                        #expect(try unpacker.unsigned() == value)
                        #expect(unpacker.offset == plain.count)
                    }
                }
            }
        }
    }

    @Test("letters are written in lower case, and no other byte is changed, wherever they stand")
    func lowercased() {
        let all = (0...255).map { UInt8($0) }
        for start in 0..<9 {
            let bytes = Array(all.dropFirst(start * 7)) + [0x41, 0x5a]
            var packer = BytePacker(capacity: 1)
            bytes.withView { view in packer.append(bytesMax: view.count) { $0.append(lowercased: view) } }
            #expect(Array(packer.view) == bytes.map { (0x41...0x5a).contains($0) ? $0 + 0x20 : $0 })
        }
    }

    @Test("small magnitudes take one byte, whatever their sign")
    func zigZag() {
        var packer = BytePacker()
        for value in Int64(-64)...63 {
            packer.clear()
            packer.append(value)
            #expect(packer.count == 1)
        }
        packer.append(Int64(64))
        #expect(packer.count == 3)
    }

    @Test("bytes come back, alone and with their length, after the buffer has grown")
    func runs() throws {
        var packer = BytePacker(capacity: 2)
        let runs = (0..<40).map { bytes($0 * 7, seed: UInt64($0)) }
        for run in runs {
            run.withView { packer.append(prefixed: $0) }
            run.withView { packer.append(bytes: $0) }
            packer.append(byte: 0xab)
        }
        var unpacker = ByteUnpacker(packer.view)
        for run in runs {
            #expect(Array(try unpacker.prefixed()) == run)
            #expect(Array(try unpacker.bytes(run.count)) == run)
            #expect(try unpacker.byte() == 0xab)
        }
        #expect(unpacker.isAtEnd)
        packer.truncate(to: 3)
        #expect(packer.count == 3)
    }

    @Test("four bytes can be replaced in place")
    func replaced() {
        var packer = BytePacker()
        packer.append(fixed: 0)
        packer.replace(at: 2, with: 0x0403_0201)
        #expect(Array(packer.view) == [0, 0, 1, 2, 3, 4, 0, 0])
    }

    @Test("packed bytes that end early are refused at every cut, with the place")
    func cuts() throws {
        var packer = BytePacker()
        packer.append(UInt64(300))
        bytes(20).withView { packer.append(prefixed: $0) }
        packer.append(fixed: 9)
        let whole = Array(packer.view)
        for cut in 0..<whole.count {
            Array(whole.prefix(cut)).withView { view in
                var unpacker = ByteUnpacker(view)
                #expect(throws: UnpackingError.self) {
                    _ = try unpacker.unsigned()
                    _ = try unpacker.prefixed()
                    _ = try unpacker.fixed()
                }
            }
        }
    }

    @Test("a number of more than 64 bits is refused, and a length beyond the end")
    func tooLong() {
        for bytes: [UInt8] in [
            Array(repeating: 0x80, count: 10) + [1], Array(repeating: 0xff, count: 9) + [2],
            Array(repeating: 0xff, count: 20),
        ] {
            bytes.withView { view in
                var unpacker = ByteUnpacker(view)
                #expect(throws: UnpackingError(offset: 0)) { _ = try unpacker.unsigned() }
            }
        }
        var packer = BytePacker()
        packer.append(UInt64.max)
        var unpacker = ByteUnpacker(packer.view)
        #expect(throws: UnpackingError(offset: 0)) { _ = try unpacker.prefixed() }
        #expect(throws: UnpackingError.self) { _ = try unpacker.bytes(-1) }
    }
}

@Suite("views")
struct ByteViewTests {
    @Test("views are equal by their bytes, as sets and dictionaries need it")
    func equality() {
        let left = Array("caf\u{e9}".utf8)
        let right = Array("cafe\u{301}".utf8)
        left.withView { left in
            right.withView { right in
                // Equal as strings, different as bytes: money of two accounts must not meet.
                #expect(left.text == right.text && left != right)
                #expect(Set([left, right]).count == 2)
                #expect(left[0..<3] == right[0..<3] && left[0..<3].hashValue == right[0..<3].hashValue)
                #expect(left[0..<3] != right[0..<4])
            }
        }
        #expect(ByteView() == ByteView() && ByteView().isEmpty)
    }

    @Test("parts, places and copies are those of the bytes")
    func parts() {
        let buffer = bytes(50)
        buffer.withView { view in
            for start in 0...50 {
                for end in start...50 { #expect(Array(view[start..<end]) == Array(buffer[start..<end])) }
            }
            #expect(view[7] == buffer[7] && view.count == 50)
            #expect(view.firstIndex(of: buffer[9]) == buffer.firstIndex(of: buffer[9]))
        }
        "acme/search".withView { #expect($0.firstIndex(of: 0x2f) == 4 && $0.firstIndex(of: 0) == nil) }
        [UInt8]().withView { #expect($0.isEmpty && Array($0).isEmpty) }
    }

    @Test("reading outside a view stops the process")
    func bounds() async {
        await #expect(processExitsWith: .failure) { [UInt8](repeating: 1, count: 3).withView { _ = $0[3] } }
        await #expect(processExitsWith: .failure) {
            [UInt8](repeating: 1, count: 3).withView { _ = $0[2..<4] }
        }
    }
}
