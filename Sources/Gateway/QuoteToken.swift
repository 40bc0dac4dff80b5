// A quote's token: what a report is charged by when it brings it back.
//
//      0         1              5                   9         17          25       41
//      +---------+--------------+-------------------+---------+-----------+--------+
//      | 2       | rule version | catalogue version | instant | expires   | code   |   little-endian
//      +---------+--------------+-------------------+---------+-----------+--------+
//
// Instant: whose rates apply, the moment of the quote. Expires: the last event time that it is good for;
// both in microseconds since 1970. The code is SipHash-2-4's 128 bits under a secret of the data
// directory, over the bytes before it and then over what the quote was for, none of which is in the token:
// account, credential source, provider, model, service tier, as the report that brings it names them. So a
// token is good for one account and model, and whoever edits it cannot make it good for more.
//
// What decides is when the request ended, not when its report arrives: a router that was cut off delivers
// late what it was promised in time, and a retry is answered alike whenever it comes. An event time from
// before the quote would let a quote of today cheapen the usage of yesterday, and is refused.

import Bytes
import Ledger
import Pricing

/// The fields of a token.
struct QuoteToken: Hashable, Sendable {
    static let version: UInt8 = 2
    /// The first had another code, so it is good for no report any more; what it pinned is read from old ones.
    private static let readableVersions: ClosedRange<UInt8> = 1...2
    static let codeBytes = 16
    static let headBytes = 25
    static let bytes = headBytes + codeBytes
    /// How far the clocks of a router and of the gateway may be apart.
    static let skewMicroseconds = LedgerLimits.eventAheadMax.microseconds

    var ruleVersion: UInt32
    var catalogueVersion: UInt32
    var instant: Timestamp
    var expiresAt: Timestamp

    init(ruleVersion: UInt32, catalogueVersion: UInt32, instant: Timestamp, expiresAt: Timestamp) {
        self.ruleVersion = ruleVersion
        self.catalogueVersion = catalogueVersion
        self.instant = instant
        self.expiresAt = expiresAt
    }

    /// Reads a token without its code; nil if it is of no known form.
    init?(_ token: ByteView) {
        guard token.count == Self.bytes, Self.readableVersions.contains(token[0]) else { return nil }
        let versions = token.word(at: 1)
        ruleVersion = UInt32(truncatingIfNeeded: versions)
        catalogueVersion = UInt32(versions >> 32)
        instant = Timestamp(microseconds: Int64(bitPattern: token.word(at: 9)))
        expiresAt = Timestamp(microseconds: Int64(bitPattern: token.word(at: 17)))
    }

    fileprivate func appendHead(to packer: inout BytePacker) {
        packer.append(byte: Self.version)
        packer.append(fixed: UInt64(ruleVersion) | UInt64(catalogueVersion) << 32)
        packer.append(fixed: UInt64(bitPattern: instant.microseconds))
        packer.append(fixed: UInt64(bitPattern: expiresAt.microseconds))
    }

    /// Why a record with this event time is not charged by the token; nil if it may be.
    func fault(eventTime: Timestamp) -> Refusal? {
        if eventTime > expiresAt {
            return Refusal(
                .quoteExpired, field: .quoteToken, found: eventTime.microseconds,
                expected: expiresAt.microseconds)
        }
        // Both are within what the signer's clock says, so neither difference overflows.
        if eventTime.microseconds < instant.microseconds - Self.skewMicroseconds {
            return Refusal(
                .invalidArgument, field: .quoteToken, found: eventTime.microseconds,
                expected: instant.microseconds)
        }
        return nil
    }
}

/// Signs tokens and takes them back. Safe to share.
struct QuoteSigner: Sendable {
    /// Bytes of the secret that the data directory keeps; the first half of them is the key.
    static let secretBytes = 32

    private let key: HashKey

    init(secret: [UInt8]) {
        precondition(secret.count == Self.secretBytes, "a secret has 32 bytes")
        key = secret.withView { HashKey(first: $0.word(at: 0), second: $0.word(at: 8)) }
    }

    /// Writes the token for what `record` asks about to `output`. `packer` is used as scratch. No allocation.
    func sign(
        _ token: QuoteToken, for record: borrowing UsageRecord, using packer: inout BytePacker,
        to output: inout BytePacker
    ) {
        packer.clear()
        token.appendHead(to: &packer)
        output.append(bytes: packer.view)
        append(record, to: &packer)
        let code = KeyedHasher.code(of: packer.view, key: key)
        output.append(fixed: code.low)
        output.append(fixed: code.high)
    }

    /// What the token of `record` says, if this directory signed it for such a record; nil otherwise.
    func verified(_ record: borrowing UsageRecord) -> QuoteToken? {
        let bytes = record.quoteToken
        guard let token = QuoteToken(bytes) else { return nil }
        var packer = BytePacker(capacity: 512)
        packer.append(bytes: bytes[0..<QuoteToken.headBytes])
        append(record, to: &packer)
        let code = KeyedHasher.code(of: packer.view, key: key)
        let claimed = bytes[QuoteToken.headBytes..<QuoteToken.bytes]
        // Both halves together: how long it takes does not tell where they differ.
        let difference = (code.low ^ claimed.word(at: 0)) | (code.high ^ claimed.word(at: 8))
        return difference == 0 ? token : nil
    }

    /// What the quote was for: names in lower case, because their case does not matter.
    private func append(_ record: borrowing UsageRecord, to packer: inout BytePacker) {
        packer.append(prefixed: record.account)
        packer.append(byte: record.credentialSource?.rawValue ?? 0)
        append(name: record.provider, to: &packer)
        append(name: record.model, to: &packer)
        append(
            name: ServiceTierName.isStandard(record.serviceTier) ? ByteView() : record.serviceTier,
            to: &packer)
    }

    private func append(name: ByteView, to packer: inout BytePacker) {
        packer.append(bytesMax: BytePacker.numberBytesMax + name.count) { cursor in
            cursor.append(UInt64(name.count))
            cursor.append(lowercased: name)
        }
    }
}
