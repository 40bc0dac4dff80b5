// Token counts of real requests, from a file of `TIMESTAMP,ContextTokens,GeneratedTokens`.
//
// That is the form of the Azure Public Dataset's LLM inference traces (Microsoft, CC BY 4.0): in the
// one of 2023 for coding half of the requests bring more than 1 469 tokens and take fewer than 14 back.
// The counts are replayed in order and again from the start; the times are those of the run.

import Glibc

/// The token counts of a request.
struct TokenCounts: Hashable, Sendable {
    var input: UInt32
    var output: UInt32
}

/// A list of requests' token counts.
struct TokenTrace: Sendable {
    let counts: [TokenCounts]

    /// Reads `path` whole.
    init(path: String) throws(LoadError) {
        guard let file = unsafe fopen(path, "r") else { throw .file(path: path, code: errno) }
        defer { unsafe fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = unsafe fread(&chunk, 1, chunk.count, file)
            guard count > 0 else { break }
            bytes += chunk[..<count]
        }
        guard unsafe ferror(file) == 0 else { throw .file(path: path, code: EIO) }
        try self.init(text: bytes, path: path)
    }

    /// Reads lines that end with LF or CR LF; the first may be a heading.
    ///
    /// - Parameter path: for messages.
    init(text: [UInt8], path: String) throws(LoadError) {
        var counts: [TokenCounts] = []
        var number = 0
        for line in text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            number += 1
            let line = line.last == UInt8(ascii: "\r") ? line.dropLast() : line
            if line.isEmpty { continue }
            let fields = line.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
            if number == 1, let first = fields.last?.first, !(48...57).contains(first) { continue }
            guard fields.count == 3, let input = TokenTrace.number(fields[1]),
                let output = TokenTrace.number(fields[2])
            else {
                throw .trace(path: path, line: number, found: String(decoding: line, as: UTF8.self))
            }
            counts.append(TokenCounts(input: input, output: output))
        }
        guard !counts.isEmpty else { throw .trace(path: path, line: number, found: "no rows") }
        self.counts = counts
    }

    private static func number(_ text: ArraySlice<UInt8>) -> UInt32? {
        guard !text.isEmpty && text.count <= 7 else { return nil }
        var value: UInt32 = 0
        for byte in text {
            guard (48...57).contains(byte) else { return nil }
            value = value * 10 + UInt32(byte - 48)
        }
        return value <= LoadLimits.tokensMax ? value : nil
    }
}
