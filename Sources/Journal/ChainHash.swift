// The hash that ties each batch to the one before: SHA-256 over the bytes that the checksum covers, which
// contain the previous batch's hash. Two logs with the same last hash are the same log, so a receipt
// that names it proves what was promised. Source: FIPS 180-4; computed by OpenSSL.

import COpenSSL

/// 32 bytes of SHA-256.
public struct ChainHash: Hashable, Sendable, CustomStringConvertible {
    /// The bytes in order, eight to a word, loaded as little-endian.
    var words: (UInt64, UInt64, UInt64, UInt64)

    /// What the first batch of a data directory follows: zeros.
    public static let genesis = ChainHash()

    init() { words = (0, 0, 0, 0) }

    /// The 32 bytes at `offset`.
    init(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
        words = unsafe (
            bytes.load(UInt64.self, at: offset), bytes.load(UInt64.self, at: offset + 8),
            bytes.load(UInt64.self, at: offset + 16), bytes.load(UInt64.self, at: offset + 24)
        )
    }

    func store(into bytes: UnsafeMutableRawBufferPointer, at offset: Int) {
        unsafe bytes.store(words.0, at: offset)
        unsafe bytes.store(words.1, at: offset + 8)
        unsafe bytes.store(words.2, at: offset + 16)
        unsafe bytes.store(words.3, at: offset + 24)
    }

    public static func == (left: ChainHash, right: ChainHash) -> Bool { left.words == right.words }

    public func hash(into hasher: inout Hasher) { hasher.combine(words.0) }

    /// The 32 bytes, for receipts.
    public var bytes: [UInt8] {
        unsafe [UInt8](unsafeUninitializedCapacity: 32) { buffer, count in
            unsafe store(into: UnsafeMutableRawBufferPointer(start: buffer.baseAddress, count: 32), at: 0)
            count = 32
        }
    }

    /// 64 hexadecimal digits.
    public var description: String {
        [words.0, words.1, words.2, words.3].map { $0.byteSwapped.hexadecimal }.joined()
    }
}

/// Computes chain hashes with one context that is reused. For one thread at a time.
@safe
final class ChainHasher {
    private let context: OpaquePointer
    private let algorithm: OpaquePointer

    init() {
        // Fetched once: the implicit fetch of `EVP_sha256` costs more than hashing a small batch.
        // Both fail only without memory or without any provider, and nothing here works without them.
        guard let context = unsafe EVP_MD_CTX_new(), let algorithm = unsafe EVP_MD_fetch(nil, "SHA256", nil)
        else { preconditionFailure("OpenSSL has no SHA-256") }
        unsafe self.context = context
        unsafe self.algorithm = algorithm
    }

    deinit {
        unsafe EVP_MD_CTX_free(context)
        unsafe EVP_MD_free(algorithm)
    }

    /// SHA-256 of `head` followed by `body`. About 2 GB/s.
    func hash(_ head: UnsafeRawBufferPointer, _ body: UnsafeRawBufferPointer) -> ChainHash {
        var digest: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        var result = unsafe EVP_DigestInit_ex2(context, algorithm, nil)
        result &= unsafe EVP_DigestUpdate(context, head.baseAddress, head.count)
        result &= unsafe EVP_DigestUpdate(context, body.baseAddress, body.count)
        return unsafe withUnsafeMutableBytes(of: &digest) { digest in
            result &= unsafe EVP_DigestFinal_ex(
                context, digest.baseAddress?.assumingMemoryBound(to: UInt8.self), nil)
            precondition(result == 1, "SHA-256 failed")
            return unsafe ChainHash(UnsafeRawBufferPointer(digest), at: 0)
        }
    }
}

extension UnsafeRawBufferPointer {
    /// The little-endian integer at `offset`.
    @inline(__always)
    func load<Value: FixedWidthInteger>(_ type: Value.Type, at offset: Int) -> Value {
        unsafe Value(littleEndian: loadUnaligned(fromByteOffset: offset, as: type))
    }

    /// The bytes in `range`.
    @inline(__always)
    func slice(_ range: Range<Int>) -> UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(rebasing: self[range])
    }
}

extension UnsafeMutableRawBufferPointer {
    /// Stores an integer as little-endian at `offset`.
    @inline(__always)
    func store<Value: FixedWidthInteger>(_ value: Value, at offset: Int) {
        unsafe storeBytes(of: value.littleEndian, toByteOffset: offset, as: Value.self)
    }
}
