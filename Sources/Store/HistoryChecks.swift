// The checksum of a history row: CRC-32C over its number, its figures and the lengths of its texts,
// eight bytes each, little-endian, and then the texts.
//
// An outcome found here is given to a client as the answer to its request, so it must be the one
// that was written.

import Bytes

extension HistoryUsage {
    private static let wordCount = 43

    func check(id: Int64) -> UInt32 {
        let head = unsafe withUnsafeTemporaryAllocation(of: UInt64.self, capacity: Self.wordCount) { words in
            var count = 0
            @inline(__always)
            func add(_ value: UInt64) {
                unsafe words[count] = value.littleEndian
                count += 1
            }
            @inline(__always)
            func add(_ value: Int64) { add(UInt64(bitPattern: value)) }
            let counts = figures.counts
            add(id)
            add(figures.lsn)
            add(UInt64(figures.shard))
            add(figures.sequence)
            add(figures.recordedAt)
            add(figures.eventTime)
            add(figures.idKey.low)
            add(figures.idKey.high)
            add(figures.digest)
            add(UInt64(figures.state.rawValue) << 8 | UInt64(figures.credentialSource))
            add(counts.inputTokens)
            add(counts.outputTokens)
            add(counts.cacheReadTokens)
            add(counts.cacheWrite5mTokens)
            add(counts.cacheWrite1hTokens)
            add(counts.inputAudioTokens)
            add(counts.inputImageTokens)
            add(counts.reasoningTokens)
            add(counts.outputAudioTokens)
            add(counts.outputImageTokens)
            add(counts.images)
            add(counts.webSearches)
            add(counts.seconds)
            add(counts.pages)
            add(counts.characters)
            add(counts.requests)
            add(figures.baseCostPicodollars)
            add(figures.fee)
            add(figures.charge)
            add(figures.allowanceUsed)
            add(figures.balanceAfter)
            add(UInt64(figures.ruleNumber) << 32 | UInt64(figures.ruleVersion))
            add(UInt64(figures.catalogueVersion) << 32 | UInt64(figures.flags))
            add(UInt64(account.count) << 32 | UInt64(wallet.count))
            add(UInt64(requestID.count) << 32 | UInt64(parkedReason.count))
            add(UInt64(provider.count) << 32 | UInt64(model.count))
            add(UInt64(serviceTier.count) << 32 | UInt64(tier.count))
            add(UInt64(extra.count) << 32 | UInt64(content.count))
            return unsafe CRC32C.checksum(
                UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(words)[..<(8 * count)]))
        }
        var check = CRC32C.checksum(account, continuing: head)
        check = CRC32C.checksum(wallet, continuing: check)
        check = CRC32C.checksum(requestID, continuing: check)
        check = CRC32C.checksum(parkedReason, continuing: check)
        check = CRC32C.checksum(provider, continuing: check)
        check = CRC32C.checksum(model, continuing: check)
        check = CRC32C.checksum(serviceTier, continuing: check)
        check = CRC32C.checksum(tier, continuing: check)
        check = CRC32C.checksum(content, continuing: check)
        check = CRC32C.checksum(extra, continuing: check)
        guard let holdKey else { return check }
        var words = (holdKey.low.littleEndian, holdKey.high.littleEndian)
        return unsafe withUnsafeBytes(of: &words) { unsafe CRC32C.checksum($0, continuing: check) }
    }
}

extension HistoryCredit {
    func check(id: Int64) -> UInt32 {
        var packer = BytePacker(capacity: 512)
        packer.append(fixed: UInt64(bitPattern: id))
        packer.append(fixed: lsn)
        packer.append(fixed: UInt64(shard))
        packer.append(fixed: sequence)
        packer.append(fixed: UInt64(bitPattern: recordedAt))
        packer.append(fixed: UInt64(bitPattern: amount))
        packer.append(fixed: UInt64(bitPattern: balanceAfter))
        packer.append(byte: expiresAt == nil ? 0 : 1)
        packer.append(fixed: UInt64(bitPattern: expiresAt ?? 0))
        packer.append(byte: grantID == nil ? 0 : 1)
        packer.append(fixed: grantID ?? 0)
        for text in [account, kind, source, details, idempotencyKey] { packer.append(prefixed: text) }
        // Rows of the first schema had none.
        if !reference.isEmpty { packer.append(prefixed: reference) }
        if let holdKey {
            packer.append(fixed: holdKey.low)
            packer.append(fixed: holdKey.high)
        }
        // Of earlier ones no wallet but the account's.
        if !wallet.isEmpty {
            packer.append(byte: 1)
            packer.append(prefixed: wallet)
        }
        return CRC32C.checksum(packer.view)
    }
}
