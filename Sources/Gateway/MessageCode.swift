// HMAC-SHA256 (RFC 2104) under one key, for what the gateway signs and later takes back. The hash is
// OpenSSL's; the two blocks that depend on the key alone are hashed once, and copied for each message.
//
//      code = SHA256(key ⊕ 5c…  ‖  SHA256(key ⊕ 36…  ‖  message))

import Bytes
import COpenSSL

/// Makes and compares codes. Safe to share.
struct MessageCode: Sendable {
    static let keyBytes = 32
    /// Bytes of a whole code.
    static let codeBytes = 32
    private static let blockBytes = 64

    private let inner: SHA256_CTX
    private let outer: SHA256_CTX

    /// - Parameter key: 32 random bytes.
    init(key: [UInt8]) {
        precondition(key.count == Self.keyBytes, "a key has 32 bytes")
        inner = Self.begun(key, pad: 0x36)
        outer = Self.begun(key, pad: 0x5c)
    }

    private static func begun(_ key: [UInt8], pad: UInt8) -> SHA256_CTX {
        var context = SHA256_CTX()
        var block = [UInt8](repeating: pad, count: blockBytes)
        for (index, byte) in key.enumerated() { block[index] ^= byte }
        let isDone = unsafe SHA256_Init(&context) == 1 && SHA256_Update(&context, block, block.count) == 1
        precondition(isDone, "OpenSSL provides SHA-256")
        return context
    }

    /// Writes the code of `message` to `code`, which has room for 32 bytes. No allocation.
    func write(_ message: ByteView, to code: UnsafeMutablePointer<UInt8>) {
        var context = inner
        // SHA256_Update and SHA256_Final say 1 for a context that was begun, always.
        let first = unsafe SHA256_Update(&context, message.buffer.baseAddress, message.count)
        let second = unsafe SHA256_Final(code, &context)
        context = outer
        let third = unsafe SHA256_Update(&context, code, Self.codeBytes)
        let fourth = unsafe SHA256_Final(code, &context)
        precondition(first & second & third & fourth == 1, "OpenSSL provides SHA-256")
    }

    /// Whether `code` is how the code of `message` begins. Takes the same time wherever they differ.
    func begins(_ message: ByteView, with code: ByteView) -> Bool {
        precondition(code.count <= Self.codeBytes)
        return unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Self.codeBytes) { room in
            guard let expected = room.baseAddress else { return false }
            unsafe write(message, to: expected)
            return unsafe CRYPTO_memcmp(expected, code.buffer.baseAddress, code.count) == 0
        }
    }
}
