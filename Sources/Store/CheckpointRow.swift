// What a checkpoint holds: rows with a checksum each, and one row about them all.
//
// A row's checksum is CRC-32C over
//
//      0       2        6         14           18            22
//      +-------+--------+---------+------------+-------------+----------+-----------+
//      | shard | number | balance | path bytes | state bytes | path ... | state ... |
//      +-------+--------+---------+------------+-------------+----------+-----------+
//
// all integers little-endian. SQLite keeps no checksums of its own, and a flipped bit in a balance
// passes its integrity check; here every row is checked when it is read, and the sum of all
// checksums, the number of rows and the sum of the balances are checked when all have been read.

import Bytes

/// One account as the checkpoint keeps it. The views are borrowed.
public struct CheckpointRow: Sendable {
    /// Below the directory's shard count.
    public var shard: UInt16
    /// The account's number within its shard.
    public var number: UInt32
    /// The account's path, for people.
    public var path: ByteView
    /// The wallet's balance in nanocredits, for people and for the control sum; zero without a wallet.
    public var balance: Int64
    /// Everything about the account, in the ledger's own words.
    public var state: ByteView

    @inlinable
    public init(shard: UInt16, number: UInt32, path: ByteView, balance: Int64, state: ByteView) {
        self.shard = shard
        self.number = number
        self.path = path
        self.balance = balance
        self.state = state
    }

    /// The checksum drawn above.
    @inline(__always)
    var check: UInt32 {
        var words = (
            UInt64(shard) | UInt64(number) << 16 | UInt64(UInt16(truncatingIfNeeded: path.count)) << 48,
            UInt64(bitPattern: balance),
            UInt64(path.count) << 32 | UInt64(UInt32(truncatingIfNeeded: state.count))
        )
        let head = unsafe withUnsafeBytes(of: &words) { unsafe CRC32C.checksum($0) }
        return CRC32C.checksum(state, continuing: CRC32C.checksum(path, continuing: head))
    }
}

/// What the caller says about the state that a checkpoint holds.
public struct CheckpointStamp: Hashable, Sendable {
    /// Which start of the process wrote it.
    public var epoch: UInt64
    /// Every journal entry up to this one is in the rows.
    public var appliedLSN: UInt64
    /// How far the journal was durable; at least `appliedLSN`.
    public var durableLSN: UInt64
    /// What the journal is recognised by: its mark at `durableLSN`; empty where the caller does not say.
    public var chain: [UInt8]
    /// The names of the journal's live segments, so that a lost one is noticed.
    public var liveSegments: [String]
    /// Microseconds since 1970.
    public var writtenAt: Int64
    /// The sequence of each shard, by shard.
    public var sequences: [UInt64]

    public init(
        epoch: UInt64, appliedLSN: UInt64, durableLSN: UInt64, chain: [UInt8], liveSegments: [String],
        writtenAt: Int64, sequences: [UInt64]
    ) {
        self.epoch = epoch
        self.appliedLSN = appliedLSN
        self.durableLSN = durableLSN
        self.chain = chain
        self.liveSegments = liveSegments
        self.writtenAt = writtenAt
        self.sequences = sequences
    }
}

/// Sums over all rows of a checkpoint, kept up to date row by row.
public struct CheckpointTotals: Hashable, Sendable {
    public var accountCount: Int = 0
    /// Σ balance in nanocredits; may exceed 64 bits.
    public var balance: Int128 = 0
    /// Σ of the rows' checksums.
    public var controlSum: UInt64 = 0

    public init() {}

    init(accountCount: Int, balance: Int128, controlSum: UInt64) {
        self.accountCount = accountCount
        self.balance = balance
        self.controlSum = controlSum
    }

    @inline(__always)
    mutating func add(balance: Int64, check: UInt32) {
        accountCount += 1
        self.balance += Int128(balance)
        controlSum += UInt64(check)
    }

    /// Takes a row out that is about to be replaced. False if it never was in: the file is damaged.
    @inline(__always)
    mutating func remove(balance: Int64, check: UInt32) -> Bool {
        guard accountCount > 0, controlSum >= UInt64(check) else { return false }
        accountCount -= 1
        self.balance -= Int128(balance)
        controlSum -= UInt64(check)
        return true
    }
}

/// A checkpoint, without its rows.
public struct Checkpoint: Hashable, Sendable {
    /// Counts checkpoints from 1, without gaps.
    public var generation: UInt64
    public var stamp: CheckpointStamp
    public var totals: CheckpointTotals
}
