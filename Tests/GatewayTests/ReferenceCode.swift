// HMAC-SHA256 by OpenSSL's own function, to compare with.

import COpenSSL

enum ReferenceCode {
    static func hmac(_ key: [UInt8], _ message: [UInt8]) -> [UInt8] {
        var code = [UInt8](repeating: 0, count: 32)
        var count: UInt32 = 0
        _ = unsafe HMAC(EVP_sha256(), key, CInt(key.count), message, message.count, &code, &count)
        return code
    }
}
