// Rows of plain values in chunks: nothing moves when a table grows, so growing never stalls a lock,
// and an idle row costs its size and no more.

import Bytes

/// A growing sequence of plain values, addressed by number, in chunks of fixed size.
///
/// `Element` must be trivial (integers and the like). Numbers are dense from 0; `append` is O(1) and
/// never moves a row. Freed in `deinit`.
@safe
struct Slab<Element: BitwiseCopyable & Sendable>: ~Copyable, @unchecked Sendable {
    private var chunks: UnsafeMutablePointer<UnsafeMutablePointer<Element>>
    private var chunkCapacity: Int
    private var chunkCount = 0
    private(set) var count = 0

    private static var shift: Int { 8 }
    private static var rowsPerChunk: Int { 1 << shift }
    private static var chunkBytes: Int { rowsPerChunk * MemoryLayout<Element>.stride }

    init() {
        chunkCapacity = 16
        unsafe chunks = Self.allocateDirectory(chunkCapacity)
    }

    deinit {
        for index in 0..<chunkCount {
            unsafe TableMemory.deallocate(UnsafeMutableRawPointer(chunks[index]), bytes: Self.chunkBytes)
        }
        unsafe Self.freeDirectory(chunks, chunkCapacity)
    }

    /// A list without chunks: `guess` reads zeros in it.
    private static func allocateDirectory(_ capacity: Int)
        -> UnsafeMutablePointer<UnsafeMutablePointer<Element>>
    {
        let directory = unsafe TableMemory.allocate(bytes: capacity * 8)
        unsafe directory.initializeMemory(as: UInt8.self, repeating: 0, count: capacity * 8)
        return unsafe directory.bindMemory(to: UnsafeMutablePointer<Element>.self, capacity: capacity)
    }

    private static func freeDirectory(
        _ directory: UnsafeMutablePointer<UnsafeMutablePointer<Element>>, _ capacity: Int
    ) {
        unsafe TableMemory.deallocate(UnsafeMutableRawPointer(directory), bytes: capacity * 8)
    }

    /// Where the chunks are listed, for `guess`.
    var place: BlockPlace { unsafe BlockPlace(UnsafeRawPointer(chunks), count: chunkCapacity) }

    /// Where row `number` stands, of a slab whose `place` was this a moment ago; 0 if it had no such chunk. Only for
    /// prefetching, and for looking further: it is read without a lock, and so is what stands there.
    @inline(__always)
    static func guess(_ number: UInt32, in place: BlockPlace) -> UInt {
        guard let chunk = place.word(at: Int(number) >> shift), chunk != 0 else { return 0 }
        let row = (Int(number) & (rowsPerChunk - 1)) * MemoryLayout<Element>.stride
        return UInt(truncatingIfNeeded: chunk) + UInt(row)
    }

    /// Where row `number` stands; it stays there for the life of the slab.
    @inline(__always)
    func address(of number: UInt32) -> UnsafeMutablePointer<Element> {
        precondition(Int(number) < count)
        return unsafe chunks[Int(number) >> Self.shift] + (Int(number) & (Self.rowsPerChunk - 1))
    }

    subscript(number: UInt32) -> Element {
        @inline(__always) unsafeAddress { unsafe UnsafePointer(address(of: number)) }
        @inline(__always) unsafeMutableAddress { unsafe address(of: number) }
    }

    /// Appends a row and returns its number.
    mutating func append(_ element: Element) -> UInt32 {
        if count == chunkCount << Self.shift { addChunk() }
        let number = UInt32(count)
        count += 1
        unsafe address(of: number).initialize(to: element)
        return number
    }

    @inline(never)
    private mutating func addChunk() {
        if chunkCount == chunkCapacity {
            let larger = unsafe Self.allocateDirectory(chunkCapacity * 2)
            unsafe larger.update(from: chunks, count: chunkCount)
            // The old one stays as it is, for whoever still looks at it. All of them together are as large as the new.
            unsafe chunks = larger
            chunkCapacity *= 2
        }
        unsafe chunks[chunkCount] = TableMemory.allocate(bytes: Self.chunkBytes)
            .bindMemory(to: Element.self, capacity: Self.rowsPerChunk)
        chunkCount += 1
    }
}
