// The move of an account, as an entry.
//
//      accountMoved:  time | account | accounts moved | path before | path after | act

import Bytes
import Pricing

/// An account, and all below it, at another place of its organisation's tree.
public struct AccountMovedEntry: Sendable {
    public var account: UInt32 = 0
    /// How many accounts moved, this one among them.
    public var count: UInt32 = 0
    /// Where it was.
    public var from = ByteView()
    /// Where it is from now on.
    public var to = ByteView()
    public var act = ActDetails()

    public init() {}
}

extension BytePacker {
    mutating func append(time: Timestamp, _ entry: AccountMovedEntry) {
        let start = beginEntry(.accountMoved)
        append(time.microseconds)
        append(entry.account)
        append(entry.count)
        append(prefixed: entry.from)
        append(prefixed: entry.to)
        append(entry.act)
        endEntry(from: start)
    }
}

extension ByteUnpacker {
    mutating func accountMoved() throws(UnpackingError) -> (Timestamp, AccountMovedEntry) {
        var entry = AccountMovedEntry()
        let time = try timestamp()
        entry.account = try unsigned32()
        entry.count = try unsigned32()
        entry.from = try prefixed()
        entry.to = try prefixed()
        entry.act = try actDetails()
        try end()
        return (time, entry)
    }
}
