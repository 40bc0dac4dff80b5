// The row about a checkpoint as a whole, and the positions of the shards, written and read.
//
// Two such rows are kept, the newest being that of the account rows. Each has a checksum over its
// fields, and one over the positions of all shards as they were when it was written.

import Bytes
import Foundation
import GRDB

extension Checkpoint {
    /// CRC-32C over the sequences in order of shard, eight bytes each.
    var positionsCheck: UInt32 {
        var packer = BytePacker(capacity: 8 * max(1, stamp.sequences.count))
        for sequence in stamp.sequences { packer.append(fixed: sequence) }
        return CRC32C.checksum(packer.view)
    }

    /// CRC-32C over every field but the sequences, with `positions` standing for them.
    func check(_ identity: DirectoryIdentity, positions: UInt32) -> UInt32 {
        var packer = BytePacker(capacity: 1024)
        for value in [
            generation, stamp.epoch, stamp.appliedLSN, stamp.durableLSN, UInt64(bitPattern: stamp.writtenAt),
            UInt64(bitPattern: Int64(totals.accountCount)), totals.controlSum, UInt64(identity.shardCount),
            UInt64(positions),
        ] {
            packer.append(fixed: value)
        }
        stamp.chain.withView { packer.append(prefixed: $0) }
        for text in ["\(totals.balance)", identity.id, identity.creditValue] + stamp.liveSegments {
            text.withView { packer.append(prefixed: $0) }
        }
        return CRC32C.checksum(packer.view)
    }
}

extension CheckpointStore {
    /// Replaces the positions of the shards and adds the row about them all; the last two stay.
    func record(_ database: Database, _ checkpoint: Checkpoint) throws(StoreError) {
        try attempt(.ledger, "recording the checkpoint") {
            let stamp = checkpoint.stamp
            let place = try database.cachedStatement(sql: "REPLACE INTO shard_positions VALUES (?, ?)")
            for (shard, sequence) in stamp.sequences.enumerated() {
                try place.execute(arguments: [shard, Int64(bitPattern: sequence)])
            }
            try database.execute(
                sql: "DELETE FROM meta WHERE generation < ?",
                arguments: [Int64(bitPattern: checkpoint.generation) - 1])
            let positions = checkpoint.positionsCheck
            try database.execute(
                sql: "INSERT INTO meta VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                arguments: [
                    Int64(bitPattern: checkpoint.generation), Int64(bitPattern: stamp.epoch),
                    Int64(bitPattern: stamp.appliedLSN), Int64(bitPattern: stamp.durableLSN),
                    Data(stamp.chain), stamp.liveSegments.joined(separator: "\n"),
                    checkpoint.totals.accountCount, "\(checkpoint.totals.balance)",
                    Int64(bitPattern: checkpoint.totals.controlSum), stamp.writtenAt,
                    identity.creditValue, identity.id, identity.shardCount,
                    Int64(positions), Int64(checkpoint.check(identity, positions: positions)),
                ])
        }
    }

    /// The checkpoints on record, newest first, at most two. The older one comes without sequences.
    ///
    /// - Throws: `.damagedRow` when a checksum does not fit, `.foreignFile` when the file is another
    ///   directory's.
    func checkpoints(_ database: Database) throws(StoreError) -> [Checkpoint] {
        var rows = try Statement(
            database, .ledger,
            """
            SELECT generation, epoch, applied_lsn, durable_lsn, chain, live_segments, account_count,
                   balance_sum_nanocredits, control_sum, written_at, credit_value_usd, data_directory,
                   shard_count, positions_crc, row_crc
            FROM meta ORDER BY generation DESC LIMIT 2
            """)
        var found: [Checkpoint] = []
        while try rows.step() {
            let key = "generation \(rows.integer(0))"
            func damaged(_ reason: String) -> StoreError {
                .damagedRow(file: .ledger, table: "meta", key: key, path: "", reason: reason)
            }
            guard let balance = Int128(rows.text(7)), let positions = UInt32(exactly: rows.integer(13)),
                let shardCount = Int(exactly: rows.integer(12)), (1...65_536).contains(shardCount)
            else { throw damaged("a number is out of range") }
            let segments = rows.text(5)
            var checkpoint = Checkpoint(
                generation: UInt64(bitPattern: rows.integer(0)),
                stamp: CheckpointStamp(
                    epoch: UInt64(bitPattern: rows.integer(1)),
                    appliedLSN: UInt64(bitPattern: rows.integer(2)),
                    durableLSN: UInt64(bitPattern: rows.integer(3)), chain: Array(rows.bytes(4)),
                    liveSegments: segments.isEmpty ? [] : segments.components(separatedBy: "\n"),
                    writtenAt: rows.integer(9), sequences: []),
                totals: CheckpointTotals(
                    accountCount: Int(rows.integer(6)), balance: balance,
                    controlSum: UInt64(bitPattern: rows.integer(8))))
            let owner = DirectoryIdentity(
                id: rows.text(11), creditValue: rows.text(10), shardCount: shardCount)
            guard Int64(checkpoint.check(owner, positions: positions)) == rows.integer(14) else {
                throw damaged("its checksum does not fit")
            }
            guard owner == identity else {
                throw StoreError.foreignFile(
                    file: .ledger, found: "\(owner)", expected: "\(identity)")
            }
            if found.isEmpty {
                checkpoint.stamp.sequences = try sequences(database)
                guard checkpoint.positionsCheck == positions else {
                    throw StoreError.damagedRow(
                        file: .ledger, table: "shard_positions", key: "all", path: "",
                        reason: "their checksum does not fit \(key)")
                }
            }
            found.append(checkpoint)
        }
        return found
    }

    private func sequences(_ database: Database) throws(StoreError) -> [UInt64] {
        var rows = try Statement(
            database, .ledger, "SELECT shard, sequence FROM shard_positions ORDER BY shard")
        var sequences: [UInt64] = []
        while try rows.step() {
            guard rows.integer(0) == Int64(sequences.count), sequences.count < identity.shardCount else {
                throw StoreError.damagedRow(
                    file: .ledger, table: "shard_positions", key: "\(rows.integer(0))", path: "",
                    reason: "expected shard \(sequences.count) of \(identity.shardCount)")
            }
            sequences.append(UInt64(bitPattern: rows.integer(1)))
        }
        return sequences
    }
}
