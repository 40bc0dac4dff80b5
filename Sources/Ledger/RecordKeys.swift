// What the ledger looks a record up by: keyed hashes of its account and its request id.

import Bytes
import Pricing

/// The hashes of one record, computed once, outside any lock.
public struct RecordKeys: Hashable, Sendable {
    /// Of the organisation: the account's first segment. It picks the shard.
    public var organisation: Hash128
    /// Of the whole path.
    public var account: Hash128
    /// Of the request id within the organisation.
    public var request: Hash128
    /// Of the id of the hold that the record settles, within the organisation; zeros without.
    public var hold = Hash128(low: 0, high: 0)
    /// Of the record's canonical form.
    public var digest: UInt64

    /// Whether the record settles a hold, or asks for one.
    @inlinable public var isAboutHold: Bool { hold.low != 0 || hold.high != 0 }

    public static let none = RecordKeys(
        organisation: Hash128(low: 0, high: 0), account: Hash128(low: 0, high: 0),
        request: Hash128(low: 0, high: 0), digest: 0)
}

/// Makes keys with the secret of the data directory.
public struct KeyMaker: Sendable {
    public let secret: HashKey

    public init(secret: HashKey) { self.secret = secret }

    /// The keys of a path whose first segment is `organisationCount` bytes long.
    @inline(__always)
    public func account(_ path: ByteView, organisationCount: Int) -> (organisation: Hash128, account: Hash128)
    {
        let organisation = KeyedHasher.hash(path[0..<organisationCount], key: secret)
        if organisationCount == path.count { return (organisation, organisation) }
        return (organisation, KeyedHasher.hash(path, key: secret))
    }

    /// The keys of bytes that may be a path; see `AccountPath.firstSegmentCount`.
    @inline(__always)
    public func account(unchecked path: ByteView) throws(AccountPath.Fault) -> (
        organisation: Hash128, account: Hash128
    ) {
        account(path, organisationCount: try AccountPath.firstSegmentCount(of: path))
    }

    /// The key of a path that is within the grammar.
    public func account(_ path: ByteView) -> Hash128 { KeyedHasher.hash(path, key: secret) }

    /// The key of a report's id. The organisation's hash is folded into the secret, so that the same id
    /// in two organisations is two ids.
    @inline(__always)
    public func request(_ id: ByteView, organisation: Hash128) -> Hash128 {
        KeyedHasher.hash(
            id,
            key: HashKey(first: secret.first ^ organisation.low, second: secret.second ^ organisation.high))
    }

    /// The key of an administrator's act. Acts and reports do not share ids.
    public func act(_ id: ByteView, organisation: Hash128) -> Hash128 {
        KeyedHasher.hash(
            id,
            key: HashKey(first: secret.first ^ organisation.high, second: ~secret.second ^ organisation.low))
    }

    /// The digest that tells the same content from other content.
    @inline(__always)
    public func digest(_ content: ByteView) -> UInt64 {
        KeyedHasher.lowHash(content, key: HashKey(first: ~secret.first, second: secret.second))
    }
}
