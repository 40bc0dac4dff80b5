// Memory for large tables that are read at random: in huge pages, so that the address of a row is found
// in the processor's translation cache.
//
// With 4 KiB pages a random access to a table of some hundred megabytes misses that cache and costs a walk
// through the page tables, in a virtual machine through two sets of them; a prefetch waits for it too. So
// tables are cut from regions for which huge pages are asked (`madvise(MADV_HUGEPAGE)`, see madvise(2));
// where the kernel has none to give, they are ordinary memory and everything works, slower.
//
// The first touch of a huge page costs up to some milliseconds in a virtual machine: its host finds and
// clears the memory then. A thread that decides under a lock should not pay that, so whoever has a thread to
// spare sets `whenLow`, and on that thread calls `prepare`, which maps and touches a region beforehand.

import CPlatform
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Memory in huge pages where the kernel has them. Given back blocks are kept for the next of their size.
public enum TableMemory {
    /// A block of at least `bytes` bytes, aligned to 64, its content undefined. Stops the process when the
    /// system has no memory, as every allocation does.
    public static func allocate(bytes: Int) -> UnsafeMutableRawPointer {
        unsafe regions.withLock { unsafe $0.allocate(rounded(bytes)) }
    }

    /// Gives back a block of `bytes` bytes, as it was asked for.
    public static func deallocate(_ block: UnsafeMutableRawPointer, bytes: Int) {
        let address = UInt(bitPattern: block)
        regions.withLock { $0.free[rounded(bytes), default: []].append(address) }
    }

    /// Called when no touched region is left in reserve; from any thread, under a lock, so it only passes the
    /// word on to the thread that calls `prepare`.
    public static func whenLow(_ notify: (@Sendable () -> Void)?) {
        regions.withLock { regions in
            regions.notify = notify
            if regions.reserve.isEmpty { notify?() }
        }
    }

    /// Maps and touches a region to have in reserve, if there is none. Takes some tens of milliseconds; no
    /// lock is held meanwhile.
    public static func prepare() {
        guard regions.withLock({ $0.reserve.isEmpty }) else { return }
        let start = Regions.map(Regions.regionBytes)
        var offset = 0
        while offset < Regions.regionBytes {
            unsafe Regions.pointer(start + UInt(offset)).storeBytes(of: 0, as: UInt8.self)
            offset += Regions.smallPageBytes
        }
        regions.withLock { $0.reserve.append(start) }
    }

    private static func rounded(_ bytes: Int) -> Int { (max(bytes, 64) + 63) & ~63 }

    private static let regions = Mutex(Regions())

    private struct Regions: Sendable {
        static let smallPageBytes = 4 << 10
        static let hugePageBytes = 2 << 20
        static let regionBytes = 16 << 20

        var next: UInt = 0
        var end: UInt = 0
        var free: [Int: [UInt]] = [:]
        /// Regions of `regionBytes` that were touched and are not in use.
        var reserve: [UInt] = []
        var notify: (@Sendable () -> Void)?

        mutating func allocate(_ bytes: Int) -> UnsafeMutableRawPointer {
            if let address = free[bytes]?.popLast() { return unsafe Self.pointer(address) }
            if end - next < UInt(bytes) {
                if bytes <= Self.regionBytes, let touched = reserve.popLast() {
                    next = touched
                    end = next + UInt(Self.regionBytes)
                } else {
                    let regionBytes = max(
                        Self.regionBytes, (bytes + Self.hugePageBytes - 1) & ~(Self.hugePageBytes - 1))
                    next = Self.map(regionBytes)
                    end = next + UInt(regionBytes)
                }
                if reserve.isEmpty { notify?() }
            }
            defer { next += UInt(bytes) }
            return unsafe Self.pointer(next)
        }

        static func pointer(_ address: UInt) -> UnsafeMutableRawPointer {
            guard let pointer = unsafe UnsafeMutableRawPointer(bitPattern: address) else {
                preconditionFailure("a region is never at address 0")
            }
            return unsafe pointer
        }

        /// Maps a region that begins and ends with a huge page.
        static func map(_ bytes: Int) -> UInt {
            let mapped = unsafe mmap(
                nil, bytes + Self.hugePageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
            guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else {
                preconditionFailure(
                    "no memory for a table of \(bytes) bytes: mmap failed with errno \(errno)")
            }
            let start =
                (UInt(bitPattern: mapped) + UInt(Self.hugePageBytes - 1)) & ~UInt(Self.hugePageBytes - 1)
            // A refusal costs speed only.
            _ = unsafe madvise(pointer(start), bytes, MADV_HUGEPAGE)
            return start
        }
    }
}
