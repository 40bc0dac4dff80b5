// Memory for direct reads and writes: aligned to blocks, owned by one value, freed in `deinit`.

import Glibc

/// Block-aligned memory. It starts as zeros.
@safe
public final class AlignedBuffer: @unchecked Sendable {
    /// The memory, valid while this object lives. Whoever hands it between threads orders the accesses.
    public let bytes: UnsafeMutableRawBufferPointer

    /// The bytes there are, a multiple of `directAlignment`.
    public var count: Int { unsafe bytes.count }

    /// `count` bytes, rounded up to whole blocks. Memory is taken from the system when it is touched.
    public init(count: Int) {
        precondition(count > 0)
        let rounded = Self.roundUp(count)
        // An anonymous mapping is page aligned and zero; only the memory limit of the process makes it
        // fail, and nothing here can go on without memory.
        let base = unsafe mmap(nil, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let base = unsafe base, unsafe base != MAP_FAILED else {
            preconditionFailure("no memory for a buffer of \(rounded) bytes")
        }
        // Advice only: with huge pages the first touch of a large buffer costs 512 times fewer faults.
        if rounded >= 1 << 21 { _ = unsafe madvise(base, rounded, MADV_HUGEPAGE) }
        unsafe bytes = UnsafeMutableRawBufferPointer(start: base, count: rounded)
    }

    deinit {
        _ = unsafe munmap(bytes.baseAddress, bytes.count)
    }

    /// The least multiple of `directAlignment` that is not below `count`.
    public static func roundUp(_ count: Int) -> Int {
        (count + directAlignment - 1) & ~(directAlignment - 1)
    }

    /// The first `count` bytes, for writing to a file.
    public func prefix(_ count: Int) -> UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(rebasing: bytes[0..<count])
    }
}
