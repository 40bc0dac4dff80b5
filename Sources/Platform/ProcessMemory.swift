// How the allocator treats memory that was given back.

import CPlatform

/// Settings of the C library's allocator, for a whole process.
public enum ProcessMemory {
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
