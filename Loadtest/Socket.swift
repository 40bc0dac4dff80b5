// A TCP connection as a file descriptor: read and written without blocking by the load's own thread, or
// with blocking where a run is prepared and checked.

import Bytes
import Glibc

/// An open socket, closed when its owner lets go.
final class Socket {
    let descriptor: CInt
    /// For messages: host and port.
    let peer: String

    /// What reading or writing came to.
    enum Progress: Hashable {
        case bytes(Int)
        /// Nothing can be done without waiting.
        case wouldBlock
        /// The other side is gone.
        case ended
    }

    /// Connects, waiting for it, without delay for small writes.
    init(host: String, port: Int) throws(LoadError) {
        peer = "\(host):\(port)"
        var hints = unsafe addrinfo()
        unsafe hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let found = unsafe getaddrinfo(host, String(port), &hints, &list)
        guard found == 0 else {
            throw .address(host: host, reason: unsafe String(cString: gai_strerror(found)))
        }
        defer { unsafe freeaddrinfo(list) }
        var code: CInt = 0
        var next = unsafe list
        while let address = unsafe next {
            let descriptor = unsafe socket(address.pointee.ai_family, address.pointee.ai_socktype, 0)
            if descriptor >= 0 {
                if unsafe connect(descriptor, address.pointee.ai_addr, address.pointee.ai_addrlen) == 0 {
                    self.descriptor = descriptor
                    var on: CInt = 1
                    // Without it a run is slower and still right, so a refusal is not an error.
                    _ = unsafe setsockopt(
                        descriptor, CInt(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<CInt>.size))
                    return
                }
                code = errno
                _ = Glibc.close(descriptor)
            } else {
                code = errno
            }
            unsafe next = address.pointee.ai_next
        }
        throw .socket(call: "connect", peer: peer, code: code)
    }

    deinit { _ = Glibc.close(descriptor) }

    /// Reads what is there.
    ///
    /// - Parameter waits: whether to wait until something is.
    func read(into room: UnsafeMutableRawBufferPointer, waits: Bool) throws(LoadError) -> Progress {
        while true {
            let flags = waits ? 0 : CInt(MSG_DONTWAIT)
            let count = unsafe recv(descriptor, room.baseAddress, room.count, flags)
            if count > 0 { return .bytes(count) }
            if count == 0 { return .ended }
            switch errno {
            case EINTR: continue
            case EAGAIN: return .wouldBlock
            case ECONNRESET, EPIPE, ETIMEDOUT: return .ended
            default: throw .socket(call: "recv", peer: peer, code: errno)
            }
        }
    }

    /// Writes as much as goes without waiting, or all of it. A vanished peer raises no signal.
    func write(_ bytes: ByteView, waits: Bool) throws(LoadError) -> Progress {
        var done = 0
        while done < bytes.count {
            let flags = CInt(MSG_NOSIGNAL) | (waits ? 0 : CInt(MSG_DONTWAIT))
            let count = unsafe send(
                descriptor, bytes.buffer.baseAddress.map { unsafe $0 + done }, bytes.count - done, flags)
            if count >= 0 {
                done += count
                continue
            }
            switch errno {
            case EINTR: continue
            case EAGAIN: return done > 0 ? .bytes(done) : .wouldBlock
            case ECONNRESET, EPIPE, ETIMEDOUT: return .ended
            default: throw .socket(call: "send", peer: peer, code: errno)
            }
        }
        return .bytes(done)
    }
}

/// Bytes that come and go in order, in memory that is reused.
@safe
final class ByteQueue {
    private var base: UnsafeMutablePointer<UInt8>
    private(set) var capacity: Int
    private var start = 0
    private var end = 0

    init(capacity: Int) {
        unsafe base = .allocate(capacity: capacity)
        self.capacity = capacity
    }

    deinit { unsafe base.deallocate() }

    var count: Int { end - start }

    /// What is in the queue; valid until the next change.
    var view: ByteView { unsafe ByteView(base + start, count: end - start) }

    /// Room for at least `count` more bytes; `commit` says how many were written there.
    @inline(__always)
    func room(_ count: Int) -> UnsafeMutablePointer<UInt8> {
        if capacity - end < count { makeRoom(count) }
        return unsafe base + end
    }

    /// All the room there is, at least `count` bytes.
    func roomBuffer(_ count: Int) -> UnsafeMutableRawBufferPointer {
        let first = unsafe room(count)
        return unsafe UnsafeMutableRawBufferPointer(start: first, count: capacity - end)
    }

    @inline(__always)
    func commit(_ count: Int) { end += count }

    /// Drops bytes from the beginning.
    func consume(_ count: Int) {
        precondition(count >= 0 && count <= self.count)
        start += count
        if start == end { clear() }
    }

    func clear() {
        start = 0
        end = 0
    }

    @inline(never)
    private func makeRoom(_ needed: Int) {
        let held = count
        if held + needed <= capacity {
            unsafe UnsafeMutableRawPointer(base).copyMemory(from: base + start, byteCount: held)
        } else {
            let larger = max(capacity * 2, held + needed)
            let moved = UnsafeMutablePointer<UInt8>.allocate(capacity: larger)
            unsafe moved.update(from: base + start, count: held)
            unsafe base.deallocate()
            unsafe base = moved
            capacity = larger
        }
        start = 0
        end = held
    }
}
