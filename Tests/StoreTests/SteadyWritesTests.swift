// SQLite's pages reach the disk while they are written, and are the same pages.

import Foundation
import Testing

@testable import Store

#if canImport(Glibc)
    import Glibc
#endif

@Suite("writes to database files")
struct SteadyWritesTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    @Test("a large transaction begins to be written out before its sync, and reads back the same")
    func largeTransaction() throws {
        let store = try ControlStore(
            directory: directory.path, identity: testIdentity, hashKey: [UInt8](repeating: 5, count: 16),
            now: 1)
        #expect(SteadyWrites.begin())
        let before = SteadyWrites.writeOuts
        let text = String(repeating: "0123456789abcdef", count: 4 * StoreLimits.writeOutBytes / 16)
        let note = AuditNote(
            at: 5, actor: "ada", action: "catalogue.stage", subject: "1", old: nil, new: "{}")
        let version = try store.addCatalogue(digest: "d", source: "s", text: text, note)
        #expect(SteadyWrites.writeOuts >= before + 4)
        #expect(try store.catalogue(version.number)?.text == text)
        let reopened = try ControlStore(
            directory: directory.path, identity: nil, hashKey: [UInt8](repeating: 5, count: 16), now: 2)
        #expect(try reopened.catalogue(version.number)?.text == text)
    }

    @Test("a write answers as pwrite(2) does, with its error where it fails")
    func answers() throws {
        let path = directory.path + "/plain"
        let descriptor = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        try #require(descriptor >= 0)
        defer { _ = close(descriptor) }
        let page = (0..<4_096).map { UInt8(truncatingIfNeeded: $0) }
        for number in 0..<300 {
            let written = unsafe page.withUnsafeBytes {
                unsafe SteadyWrites.write(descriptor, $0.baseAddress, $0.count, number * page.count)
            }
            #expect(written == page.count)
        }
        let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        #expect(bytes.count == 300 * page.count && bytes.suffix(page.count) == Data(page))

        let refused = unsafe page.withUnsafeBytes {
            unsafe SteadyWrites.write(-1, $0.baseAddress, $0.count, 0)
        }
        #expect(refused == -1 && errno == EBADF)
    }
}
