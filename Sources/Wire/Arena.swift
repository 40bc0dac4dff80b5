// Memory for unpacked messages: taken by moving a pointer, given back all at once.
//
// protobuf-c asks an allocator for every message and every run of bytes. Here that is an addition,
// and nothing is freed singly: all that some messages brought is dropped together by `reset`, which keeps
// the largest chunk for the next. What one message may take is bounded by what was received for
// it, so a short message cannot claim much memory, nor the time it would take to fill it.
//
//      chunk            chunk (twice as large)
//      +------+------+  +------+----------------+
//      | link | full |  | link | used   | free  |
//      +------+------+  +------+----------------+
//                                      ^ next   ^ end

import CTollgateProtos

/// A bump allocator with the interface of protobuf-c's allocators. Owned by one thread at a time.
@safe
struct Arena: ~Copyable {
    /// What the allocator's C functions see.
    @unsafe
    private struct State {
        var next: UnsafeMutableRawPointer
        var end: UnsafeMutableRawPointer
        /// The newest chunk, whose first words are a `Link`.
        var newest: UnsafeMutableRawPointer
        /// What may still be taken before the next `allow`.
        var allowance: Int
        /// True once an allocation was denied.
        var denied: Bool
    }

    /// At the beginning of every chunk.
    @unsafe
    private struct Link {
        var older: UnsafeMutableRawPointer?
        var bytes: Int
    }

    private let state: UnsafeMutablePointer<State>
    /// What protobuf-c is handed; lives as long as the arena.
    let allocator: UnsafeMutablePointer<ProtobufCAllocator>

    private static let firstChunkBytes = 65_536
    private static let retainedBytesMax = 1_048_576

    init() {
        let chunk = unsafe Arena.makeChunk(bytes: Arena.firstChunkBytes, older: nil)
        unsafe state = .allocate(capacity: 1)
        unsafe state.initialize(
            to: State(
                next: chunk + MemoryLayout<Link>.size, end: chunk + Arena.firstChunkBytes, newest: chunk,
                allowance: 0, denied: false))
        unsafe allocator = .allocate(capacity: 1)
        unsafe allocator.initialize(
            to: ProtobufCAllocator(
                alloc: { state, bytes in unsafe Arena.take(bytes, from: state) },
                free: { _, _ in },
                allocator_data: state))
    }

    deinit {
        unsafe Arena.freeChunks(from: state.pointee.newest)
        unsafe allocator.deallocate()
        unsafe state.deallocate()
    }

    /// From here on, at most `bytes` more may be taken.
    func allow(_ bytes: Int) {
        unsafe state.pointee.allowance = bytes
        unsafe state.pointee.denied = false
    }

    /// Whether an allocation was denied since the last `allow`.
    var wasDenied: Bool { unsafe state.pointee.denied }

    /// Room for `count` values of a C type, uninitialised; nil if that is more than allowed.
    func take<Value>(_ type: Value.Type, count: Int) -> UnsafeMutablePointer<Value>? {
        unsafe Arena.take(count * MemoryLayout<Value>.stride, from: state)?
            .bindMemory(to: Value.self, capacity: count)
    }

    /// Drops everything that was taken. Views into it are invalid from here on.
    func reset() {
        let newest = unsafe state.pointee.newest
        let link = unsafe newest.load(as: Link.self)
        if let older = unsafe link.older {
            unsafe Arena.freeChunks(from: older)
            unsafe newest.storeBytes(of: Link(older: nil, bytes: link.bytes), as: Link.self)
        }
        var kept = unsafe newest
        var bytes = unsafe link.bytes
        if bytes > Arena.retainedBytesMax {
            unsafe Arena.freeChunks(from: newest)
            unsafe kept = Arena.makeChunk(bytes: Arena.firstChunkBytes, older: nil)
            bytes = Arena.firstChunkBytes
        }
        unsafe state.pointee.newest = kept
        unsafe state.pointee.next = kept + MemoryLayout<Link>.size
        unsafe state.pointee.end = kept + bytes
    }

    @inline(__always)
    private static func take(
        _ bytes: Int, from opaque: UnsafeMutableRawPointer?
    ) -> UnsafeMutableRawPointer? {
        let state = unsafe opaque.unsafelyUnwrapped.assumingMemoryBound(to: State.self)
        // A request above the allowance is denied first, so the rounding cannot overflow.
        guard unsafe bytes >= 0 && bytes <= state.pointee.allowance else {
            unsafe state.pointee.denied = true
            return nil
        }
        let rounded = (bytes + 7) & ~7
        if unsafe state.pointee.end - state.pointee.next < rounded {
            unsafe grow(state, by: rounded)
        }
        unsafe state.pointee.allowance -= bytes
        let taken = unsafe state.pointee.next
        unsafe state.pointee.next = taken + rounded
        return unsafe taken
    }

    @inline(never)
    private static func grow(_ state: UnsafeMutablePointer<State>, by needed: Int) {
        let older = unsafe state.pointee.newest
        let olderBytes = unsafe older.load(as: Link.self).bytes
        let bytes = unsafe max(olderBytes * 2, needed + MemoryLayout<Link>.size)
        let chunk = unsafe makeChunk(bytes: bytes, older: older)
        unsafe state.pointee.newest = chunk
        unsafe state.pointee.next = chunk + MemoryLayout<Link>.size
        unsafe state.pointee.end = chunk + bytes
    }

    private static func makeChunk(bytes: Int, older: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer {
        let chunk = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 16)
        unsafe chunk.storeBytes(of: Link(older: older, bytes: bytes), as: Link.self)
        return unsafe chunk
    }

    private static func freeChunks(from newest: UnsafeMutableRawPointer) {
        var next: UnsafeMutableRawPointer? = unsafe newest
        while let chunk = unsafe next {
            unsafe next = chunk.load(as: Link.self).older
            unsafe chunk.deallocate()
        }
    }
}
