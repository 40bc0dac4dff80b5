// SHA-256 of a document, for digests that people compare. The C functions are OpenSSL's EVP interface.

import COpenSSL

enum SHA256 {
    /// The digest in 64 lower-case hexadecimal digits.
    static func hexadecimal(_ bytes: [UInt8]) -> String {
        var digest = [UInt8](repeating: 0, count: 32)
        var count: UInt32 = 0
        let result = unsafe EVP_Digest(bytes, bytes.count, &digest, &count, EVP_sha256(), nil)
        precondition(result == 1 && count == 32, "OpenSSL provides SHA-256")
        return digest.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
