// Looks at a journal without changing it: for `tollgate inspect journal` and `verify`, also while it is in use.
//
// It takes no lock, drops no cache and heals nothing. In a journal that is being written the last batch may
// look torn, because it is just then being written.

import Bytes
import Platform

/// A file of a journal, as the inspector shows it.
public struct SegmentReport: Hashable, Sendable {
    /// What a file is.
    public enum Kind: String, Hashable, Sendable {
        /// Part of the log.
        case begun
        /// Ready to become part of it.
        case prepared
        /// Waits for reuse.
        case spare
        /// Was being made when the process ended.
        case unfinished
        /// Neither header can be read.
        case unreadable
        /// Of a format that this program is too old for.
        case newer
    }

    /// The file.
    public var path: String
    /// The id in its name; of a spare, that of its former life.
    public var id: UInt64
    /// What it is.
    public var kind: Kind
    /// The header that recovery would believe.
    public var header: SegmentHeader?
    /// Copies of the header, 0 to 2, that agree with it.
    public var goodHeaders: Int
    /// The size of the file.
    public var bytes: Int
}

/// A place in a segment, as the inspector shows it.
public struct BatchReport: Hashable, Sendable {
    /// What a batch is worth where it stands.
    public enum Status: String, Hashable, Sendable {
        /// Continues the log.
        case whole
        /// Continues the log and carries no entries.
        case seal
        /// Fails its checks where the log should go on.
        case torn
        /// Whole by its own checksum, but behind a place that is not or not the one that belongs here.
        case stray
    }

    /// Where it stands.
    public var position: JournalPosition
    /// What its header says; to be believed only where the status is not `torn`.
    public var header: BatchHeader
    /// What it is worth.
    public var status: Status
}

/// What a check of the whole journal found.
public struct JournalVerdict: Hashable, Sendable {
    /// Segments that hold part of the log.
    public var segments = 0
    /// Batches with entries.
    public var batches = 0
    /// Batches without.
    public var seals = 0
    /// Entries in all batches.
    public var entries = 0
    /// Bytes that were handed over.
    public var bodyBytes = 0
    /// The first and the last LSN that are kept; nil without entries.
    public var firstLSN: UInt64?
    public var lastLSN: UInt64?
    /// The chain hash of the last batch.
    public var chain = ChainHash.genesis
    /// Bytes behind the end that nobody was promised.
    public var droppedBytes = 0
    /// Why recovery would refuse this journal; nil when it would not.
    public var problem: JournalError?
}

/// Reads a journal's directory.
public struct JournalInspector {
    private let directory: String
    private let fileSystem: any FileSystem

    /// For the directory of a journal, in use or not.
    public init(directory: String, fileSystem: any FileSystem) {
        self.directory = directory
        self.fileSystem = fileSystem
    }

    /// Every file of the journal, segments first and by id.
    public func segments() throws(JournalError) -> [SegmentReport] {
        let survey = try SegmentSurvey(directory: directory, fileSystem: fileSystem, distrustsCache: false)
        var reports = survey.segments.map { file in
            let kind: SegmentReport.Kind =
                if file.newerVersion != nil {
                    .newer
                } else {
                    switch file.header?.state {
                    case .begun: .begun
                    case .prepared: .prepared
                    case nil: .unreadable
                    }
                }
            return SegmentReport(
                path: file.path, id: file.id, kind: kind, header: file.header,
                goodHeaders: file.header == nil ? 0 : 2 - file.badCopies.count, bytes: file.bytes)
        }
        let others =
            survey.spares.map { (SegmentName($0, .spare), SegmentReport.Kind.spare) }
            + survey.temporaries.map { (SegmentName($0, .temporary), .unfinished) }
        for (name, kind) in others {
            let path = name.path(in: directory)
            let bytes: Int?
            do throws(FileError) {
                bytes = try fileSystem.open(path, .read, .buffered).size()
            } catch {
                guard error.isMissing else { throw .file(error) }
                // A journal in use has taken it meanwhile, and calls it something else.
                bytes = nil
            }
            guard let bytes else { continue }
            reports.append(
                SegmentReport(
                    path: path, id: name.id, kind: kind, header: nil, goodHeaders: 0, bytes: bytes))
        }
        return reports
    }

    /// Every batch of a begun segment, with its body where it is whole, and what stands behind the end.
    public func batches(
        of segment: SegmentReport, _ body: (BatchReport, ByteView) -> Void
    ) throws(JournalError) {
        guard let header = segment.header, segment.kind == .begun else { return }
        let image = AlignedBuffer(count: header.segmentBytes)
        let filled = try withFileErrors { () throws(FileError) in
            try unsafe fileSystem.openForReading(segment.path).read(into: image.bytes, at: 0)
        }
        let bytes = unsafe image.prefix(min(filled, header.segmentBytes))
        let check = LogCheck(header: header)
        var offset = JournalLimits.segmentHeaderBytes
        var isBroken = false
        while offset + JournalLimits.blockBytes <= bytes.count {
            let found = unsafe isBroken ? nil : check.advance(bytes, at: offset, of: header)
            let batch: BatchHeader
            var status = BatchReport.Status.stray
            if case .whole(let whole)? = found {
                batch = whole
                status = whole.entryCount == 0 ? .seal : .whole
            } else {
                let isFirstBroken = !isBroken
                isBroken = true
                // Without a header of this life of the file there is nothing to show.
                guard let other = unsafe check.decode(bytes, at: offset, of: header) else {
                    offset += JournalLimits.blockBytes
                    continue
                }
                batch = other
                let fits =
                    unsafe offset + batch.paddedBytes <= bytes.count
                    && batch.checksumFits(bytes.slice(offset..<offset + batch.paddedBytes))
                if !fits {
                    let report = BatchReport(
                        position: JournalPosition(segmentID: segment.id, offset: offset), header: batch,
                        status: .torn)
                    if isFirstBroken { body(report, ByteView()) }
                    offset += JournalLimits.blockBytes
                    continue
                }
            }
            let whole = unsafe bytes.slice(offset..<offset + batch.paddedBytes)
            let report = BatchReport(
                position: JournalPosition(segmentID: segment.id, offset: offset), header: batch,
                status: status)
            unsafe body(report, ByteView(batch.body(in: whole)))
            offset += batch.paddedBytes
        }
    }

    /// Checks every kept batch as recovery would, without its effects.
    ///
    /// Throws only when a file cannot be read; what is wrong with the log is the verdict's `problem`. The batch of
    /// `mark`, if the log still has it, must be the one that was marked.
    public func verify(mark: JournalMark? = nil) throws(JournalError) -> JournalVerdict {
        let survey = try SegmentSurvey(directory: directory, fileSystem: fileSystem, distrustsCache: false)
        var verdict = JournalVerdict()
        do throws(JournalError) {
            let log = try LogSegments(survey, directoryID: nil)
            guard let first = log.begun.first else { return verdict }
            verdict.segments = log.begun.count
            let check = LogCheck(header: first.header, mark: mark)
            var memory: AlignedBuffer?
            for (index, (file, header)) in log.begun.enumerated() {
                let next = index + 1 < log.begun.count ? log.begun[index + 1].header : nil
                let image = SegmentImage(file, header, fileSystem: fileSystem, memory: memory)
                image.load()
                memory = image.memory
                let end = try check.check(file, header, next: next, image: image) {
                    run throws(JournalError) in
                    for (_, batch) in run.batches { verdict.add(batch) }
                }
                verdict.chain = check.tail.chain
                if let end {
                    verdict.droppedBytes = end.droppedRange?.count ?? 0
                    try log.checkUnbegun(end, fileSystem: fileSystem)
                }
            }
        } catch {
            if case .file = error { throw error }
            verdict.problem = error
        }
        return verdict
    }
}

extension JournalVerdict {
    fileprivate mutating func add(_ batch: BatchHeader) {
        guard batch.entryCount > 0 else {
            seals += 1
            return
        }
        batches += 1
        entries += Int(batch.entryCount)
        bodyBytes += batch.bodyBytes
        if firstLSN == nil { firstLSN = batch.firstLSN }
        lastLSN = batch.nextLSN - 1
    }
}
