// Why a journal cannot be opened, read or written. Every message says what was found, where, and what to do.

import Platform

/// What shows that a damaged batch had been durable.
public enum DamageEvidence: Hashable, Sendable {
    /// A later batch of the same segment, whole by its own checksum, was built after it.
    case laterBatch(offset: Int)
    /// The next segment was begun after it.
    case nextSegment(id: UInt64)
    /// The checkpoint or another record names an LSN as durable that is not in the log.
    case durableLSN(UInt64)
}

/// The world did this: a disk, a directory, a file of another origin.
public enum JournalError: Error, Hashable, Sendable {
    /// The operating system refused a call.
    case file(FileError)
    /// A durable write failed. The LSNs are those of the entries in it, whose outcome is unknown.
    case writeFailed(FileError, firstLSN: UInt64, lastLSN: UInt64)
    /// Durable data fails its checks. The LSNs are those that cannot be read.
    case damaged(path: String, offset: Int, firstLSN: UInt64, lastLSN: UInt64, evidence: DamageEvidence)
    /// Both copies of a segment's header are damaged.
    case headerDamaged(path: String, firstLSN: UInt64)
    /// A batch or a segment is whole but does not follow what is before it.
    case outOfOrder(path: String, offset: Int, expectedSequence: UInt64, foundSequence: UInt64)
    /// The log up to here is whole, and it is not the one that the checkpoint was taken of.
    case anotherLog(path: String, offset: Int, sequence: UInt64)
    /// A segment between two others is missing. The LSNs are those that it held.
    case segmentMissing(id: UInt64, firstLSN: UInt64, lastLSN: UInt64)
    /// The last segment is missing, and another record names it.
    case lastSegmentMissing(id: UInt64, lastFound: UInt64)
    /// A segment's file name and header name different segments.
    case misnamed(path: String, id: UInt64)
    /// A segment belongs to another data directory.
    case foreign(path: String, found: DirectoryID, expected: DirectoryID)
    /// A segment is in a format that this program is too old for.
    case newerFormat(path: String, version: UInt32, supported: UInt32)
    /// The log begins after the checkpoint ends: entries in between are missing.
    case beginsTooLate(path: String, firstLSN: UInt64, appliedLSN: UInt64)
    /// The segment is shorter than its header says.
    case truncated(path: String, bytes: Int, expectedBytes: Int)
    /// The page cache shows other bytes than the disk: a write failed before, and the kernel did not forget it.
    case cacheDiffers(path: String, offset: Int)
    /// Another process has taken this directory, although this one holds a lock on it.
    case overtaken(path: String)
    /// A reader asked for entries whose segment was released.
    case released(lsn: UInt64, firstKept: UInt64)
}

extension JournalError: CustomStringConvertible {
    private static let remedy =
        "Nothing was changed. Run `tollgate inspect journal` to see it, then restore the file from a backup"

    public var description: String {
        switch self {
        case .file(let error):
            return error.description
        case .writeFailed(let error, let first, let last):
            return "A durable write of LSNs \(first) to \(last) failed: \(error). Whether it reached the "
                + "disk is unknown, so nobody was answered and the process must end; the next start "
                + "reads the disk and decides."
        case .damaged(let path, let offset, let first, let last, let evidence):
            let proof =
                switch evidence {
                case .laterBatch(let later): "the batch at byte \(later) was written after it"
                case .nextSegment(let id): "segment \(id) was begun after it"
                case .durableLSN(let lsn): "the checkpoint knows LSN \(lsn) as durable"
                }
            let lost = first <= last ? "LSNs \(first) to \(last) cannot be read" : "a seal cannot be read"
            return "\(path) is damaged at byte \(offset): \(lost), which was durable once, since \(proof). "
                + "\(Self.remedy)."
        case .headerDamaged(let path, let first):
            return "Both headers of \(path) are damaged, and it holds batches from LSN \(first) on. "
                + "\(Self.remedy)."
        case .outOfOrder(let path, let offset, let expected, let found):
            return "\(path) does not continue the log at byte \(offset): batch \(expected) belongs there, "
                + "\(found) was found, or its chain hash is another. The file was replaced or edited. "
                + "\(Self.remedy)."
        case .anotherLog(let path, let offset, let sequence):
            return
                "The checkpoint was taken of another log: batch \(sequence), which ends at byte \(offset) of "
                + "\(path), has another chain hash than the checkpoint noted. ledger.db and the journal come "
                + "from different copies of the directory. Nothing was changed. Restore both from one copy."
        case .segmentMissing(let id, let first, let last):
            return "Segment \(id) with LSNs \(first) to \(last) is missing. \(Self.remedy)."
        case .lastSegmentMissing(let id, let lastFound):
            return "Segment \(id) was in use, and the last one found is \(lastFound). \(Self.remedy)."
        case .misnamed(let path, let id):
            return "\(path) holds segment \(id): files were renamed or swapped. Give each its own name back."
        case .foreign(let path, let found, let expected):
            return "\(path) belongs to data directory \(found), and this one is \(expected). Remove it from "
                + "here, or restore this directory whole."
        case .newerFormat(let path, let version, let supported):
            return "\(path) has format \(version), and this program reads up to \(supported). Nothing was "
                + "changed. Start the newer program that wrote it."
        case .beginsTooLate(let path, let first, let applied):
            return "The log begins at LSN \(first) in \(path), and the checkpoint ends at \(applied): LSNs "
                + "\(applied + 1) to \(first - 1) are missing. Restore the segments or a newer checkpoint."
        case .truncated(let path, let bytes, let expected):
            return "\(path) has \(bytes) bytes instead of \(expected). \(Self.remedy)."
        case .cacheDiffers(let path, let offset):
            return "The page cache shows other bytes of \(path) at byte \(offset) than the disk has: a write "
                + "failed before, and the system still shows what never reached the disk. Nothing was "
                + "changed. See what the kernel's log says of the disk, unmount the file system or restart "
                + "the machine so that the cache is forgotten, and start again."
        case .overtaken(let path):
            return "\(path) is no longer as this process prepared it: another process has taken the data "
                + "directory, which it can only if the LOCK file was removed. This one must end."
        case .released(let lsn, let first):
            return "LSN \(lsn) is no longer in the journal: its segment was released. The first one kept "
                + "is \(first)."
        }
    }
}

/// Runs file operations and gives their error the journal's type.
func withFileErrors<Result>(_ body: () throws(FileError) -> Result) throws(JournalError) -> Result {
    do throws(FileError) {
        return try body()
    } catch {
        throw .file(error)
    }
}
