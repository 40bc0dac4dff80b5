// How the allocator treats memory that was given back, and how much the process has.

import CPlatform
import Glibc

/// Settings of the C library's allocator, for a whole process.
public enum ProcessMemory {
    /// Bytes of the process that are in memory: the second number of `/proc/self/statm` (proc(5)), in pages of
    /// 4 KiB; 0 where there is no such file.
    public static var residentBytes: Int {
        guard let file = unsafe fopen("/proc/self/statm", "r") else { return 0 }
        defer { unsafe fclose(file) }
        var line = [CChar](repeating: 0, count: 128)
        guard unsafe fgets(&line, CInt(line.count), file) != nil else { return 0 }
        let fields = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            .split(separator: " ")
        return fields.count > 1 ? (Int(fields[1]) ?? 0) * 4_096 : 0
    }

    /// Keeps freed memory for the next allocation instead of giving it back to the system.
    ///
    /// A server that reads and answers through buffers of some ten kilobytes otherwise gives pages back
    /// and has them cleared again many times a second: mallopt(3), M_TRIM_THRESHOLD and
    /// M_MMAP_THRESHOLD. To be called once, at start.
    public static func keepFreedMemory() {
        // A refusal costs speed only.
        _ = tollgate_keep_freed_memory(1 << 30, 32 << 20)
    }
}
