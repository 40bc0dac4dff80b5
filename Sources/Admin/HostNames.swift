// Which names a request may give this server.
//
// A page on the web can point its own name at 127.0.0.1 and so make a browser on this machine send
// requests here that look as if they came from the same site. Such a request still carries the page's
// name as its `Host`; only the names of this machine are answered.

import NIOCore

/// The names that are answered to.
struct HostNames: Sendable {
    private let more: Set<String>

    init(_ settings: AdminSettings) { more = Set(settings.hostNames.map { $0.lowercased() }) }

    /// Whether a `Host` names this machine, with or without a port.
    func contain(_ authority: String) -> Bool {
        guard let host = Self.host(of: authority.lowercased()) else { return false }
        return Self.isLoopback(host) || more.contains(host)
    }

    /// Whether only this machine reaches `host`: `localhost`, 127.0.0.0/8 or ::1.
    static func isLoopback(_ host: String) -> Bool {
        if host.lowercased() == "localhost" { return true }
        do {
            switch try SocketAddress(ipAddress: host, port: 0) {
            case .v4: return host.hasPrefix("127.")
            case .v6(let address):
                return unsafe withUnsafeBytes(of: address.address.sin6_addr) { bytes in
                    unsafe bytes.dropLast().allSatisfy { $0 == 0 } && bytes.last == 1
                }
            case .unixDomainSocket: return false
            }
        } catch {
            // Not an address at all: a name, which may lead anywhere.
            return false
        }
    }

    /// The host of `host`, `host:port` or `[address]:port`.
    private static func host(of authority: String) -> String? {
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else { return nil }
            let rest = authority[authority.index(after: end)...]
            guard rest.isEmpty || isPort(rest) else { return nil }
            return String(authority[authority.index(after: authority.startIndex)..<end])
        }
        guard let colon = authority.firstIndex(of: ":") else { return authority }
        return isPort(authority[colon...]) ? String(authority[..<colon]) : nil
    }

    private static func isPort(_ text: Substring) -> Bool {
        text.hasPrefix(":") && UInt16(text.dropFirst()) != nil
    }
}
