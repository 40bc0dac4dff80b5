// A port of this machine that stays one's own while the server behind it is stopped and started again.
//
// The system gives a free port to every connection that goes out, of whatever process, and keeps it for a minute
// after the connection. So a port that the system chose for a server can be gone when the server comes back: "Address
// already in use". Here a socket is bound to the port and never listens. With SO_REUSEADDR on both sides that does not
// hinder the server, and nobody else is given the port; whoever connects while the server is away is refused.

import Glibc

/// A port of 127.0.0.1 that is kept until the last reference goes.
public final class HeldPort: Sendable {
    /// The number, chosen by the system.
    public let number: Int
    private let descriptor: CInt

    /// Takes a port that is free now. A server may listen on it at any time, with `SO_REUSEADDR`.
    ///
    /// - Throws: what the system says when it gives no socket or no port.
    public init() throws(FileError) {
        let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Self.failure("socket", errno) }
        do throws(FileError) {
            number = try Self.bind(descriptor)
        } catch {
            _ = Glibc.close(descriptor)
            throw error
        }
        self.descriptor = descriptor
    }

    deinit {
        // Nothing was sent or received over it, so there is nothing that a failure could lose.
        _ = Glibc.close(descriptor)
    }

    private static func bind(_ descriptor: CInt) throws(FileError) -> Int {
        var on: CInt = 1
        let length = socklen_t(MemoryLayout<CInt>.size)
        guard unsafe setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, length) == 0 else {
            throw failure("setsockopt", errno)
        }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let code = unsafe withUnsafeMutablePointer(to: &address) { address in
            unsafe address.withMemoryRebound(to: sockaddr.self, capacity: 1) { general -> CInt in
                var length = socklen_t(MemoryLayout<sockaddr_in>.size)
                guard unsafe Glibc.bind(descriptor, general, length) == 0,
                    unsafe getsockname(descriptor, general, &length) == 0
                else { return errno }
                return 0
            }
        }
        guard code == 0 else { throw failure("bind", code) }
        return Int(UInt16(bigEndian: address.sin_port))
    }

    private static func failure(_ call: String, _ code: CInt) -> FileError {
        FileError(call: call, path: "127.0.0.1", code: code)
    }
}
