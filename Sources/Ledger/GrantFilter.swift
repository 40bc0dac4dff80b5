// What a grant may pay for: usage of some providers, or of some models, and nothing else.
//
//      filter:  count of providers, then each; count of models, then each          packed, lower-case
//
// Few grants have a filter. It stands beside the grants, by the grant's number, and a bit in the grant's row says that
// it is there, so that a charge without one looks at nothing more than before.

import Bytes
import Pricing

/// The providers and models that a grant pays for; an empty list means any.
public struct GrantFilter: Hashable, Sendable {
    public var providers: [String]
    /// A name, or the beginning of one with `*` behind it.
    public var models: [String]

    public init(providers: [String] = [], models: [String] = []) {
        self.providers = providers.map { $0.lowercased() }
        self.models = models.map { $0.lowercased() }
    }

    public var isEmpty: Bool { providers.isEmpty && models.isEmpty }

    /// As it stands in an entry; empty for a filter that keeps nothing out.
    var packed: [UInt8] {
        if isEmpty { return [] }
        var packer = BytePacker(capacity: 128)
        for names in [providers, models] {
            packer.append(UInt64(names.count))
            for name in names { name.withView { packer.append(prefixed: $0) } }
        }
        return Array(packer.view)
    }

    /// Reads a packed filter; nothing is an empty one.
    public init(reading bytes: ByteView) throws(UnpackingError) {
        providers = []
        models = []
        if bytes.isEmpty { return }
        var fields = ByteUnpacker(bytes)
        for _ in 0..<(try fields.unsigned()) { providers.append(try fields.prefixed().text) }
        for _ in 0..<(try fields.unsigned()) { models.append(try fields.prefixed().text) }
        try fields.end()
    }
}

extension GrantFilter {
    /// Reads a filter that was read before.
    init(checked bytes: ByteView) {
        do throws(UnpackingError) {
            try self.init(reading: bytes)
        } catch {
            preconditionFailure("a filter was read before, yet \(error)")
        }
    }
}

/// What credit is spent on, as far as filters look at it.
struct GrantUse {
    var provider: ByteView
    var model: ByteView

    /// Of nothing that a filter could name: filtered grants pay none of it.
    static let unknown = GrantUse(provider: ByteView(), model: ByteView())

    init(provider: ByteView, model: ByteView) {
        self.provider = provider
        self.model = model
    }

    init(_ record: borrowing UsageRecord) { self.init(provider: record.provider, model: record.model) }

    /// Whether a packed filter lets it through. O(names in the filter).
    func passes(_ filter: [UInt8]) -> Bool {
        filter.withView { view in
            var fields = ByteUnpacker(view)
            do throws(UnpackingError) {
                let isProvider = try Self.reads(&fields) { $0.equalsIgnoringCase(provider) }
                let isModel = try Self.reads(&fields) { name in
                    guard name.count > 0, name[name.count - 1] == UInt8(ascii: "*") else {
                        return name.equalsIgnoringCase(model)
                    }
                    let start = name[0..<name.count - 1]
                    return model.count >= start.count && start.equalsIgnoringCase(model[0..<start.count])
                }
                return isProvider && isModel
            } catch {
                preconditionFailure("a filter was read before, yet \(error)")
            }
        }
    }

    /// Whether a list is empty or has a name that matches.
    private static func reads(
        _ fields: inout ByteUnpacker, _ matches: (ByteView) -> Bool
    ) throws(UnpackingError) -> Bool {
        let count = try fields.unsigned()
        var isFound = count == 0
        for _ in 0..<count { if matches(try fields.prefixed()) { isFound = true } }
        return isFound
    }
}

extension ByteView {
    /// Whether two texts are the same but for the case of ASCII letters; this one is in lower case.
    fileprivate func equalsIgnoringCase(_ other: ByteView) -> Bool {
        guard count == other.count else { return false }
        for index in 0..<count {
            var byte = other[index]
            if byte >= UInt8(ascii: "A"), byte <= UInt8(ascii: "Z") { byte |= 0x20 }
            if self[index] != byte { return false }
        }
        return true
    }
}

extension ShardState {
    /// Whether a grant may pay for something.
    @inline(__always)
    func pays(_ grant: GrantRow, for use: GrantUse) -> Bool {
        grant.hasFilter ? filterPasses(grant, use) : true
    }

    @inline(never)
    private func filterPasses(_ grant: GrantRow, _ use: GrantUse) -> Bool {
        filters[grant.id].map { use.passes($0) } ?? true
    }

    /// What a wallet may spend on something: filtered grants count where their filter matches.
    @inline(__always)
    func available(of wallet: UInt32, for use: GrantUse) -> Int64 {
        accounts[wallet].hasFilters ? filteredAvailable(of: wallet, for: use) : available(of: wallet)
    }

    @inline(never)
    private func filteredAvailable(of wallet: UInt32, for use: GrantUse) -> Int64 {
        var sum = Int128(accounts[wallet].balance) + Int128(accounts[wallet].overdraftLimit)
        sum -= Int128(accounts[wallet].held)
        forEachGrant(of: wallet) { if !pays($0, for: use) { sum -= Int128($0.remaining) } }
        return Int64(clamping: sum)
    }

    /// Keeps the filter of a grant that is being added.
    mutating func keepFilter(_ filter: ByteView, of grant: UInt64, wallet: UInt32) {
        filters[grant] = Array(filter)
        sides[makeSide(of: wallet)].filteredGrants += 1
        accounts[wallet].hasFilters = true
    }

    /// Forgets the filter of a grant that has nothing left.
    @inline(never)
    mutating func forgetFilter(of grant: UInt64, wallet: UInt32) {
        filters[grant] = nil
        let side = accounts[wallet].side
        sides[side].filteredGrants -= 1
        accounts[wallet].hasFilters = sides[side].filteredGrants > 0
    }

    // MARK: - Checkpoint

    func packFilters(of wallet: UInt32, into packer: inout BytePacker) {
        packer.append(UInt64(sides[accounts[wallet].side].filteredGrants))
        forEachGrant(of: wallet) { grant in
            guard grant.hasFilter, let filter = filters[grant.id] else { return }
            packer.append(grant.id)
            filter.withView { packer.append(prefixed: $0) }
        }
    }

    mutating func restoreFilters(
        of wallet: UInt32, from fields: inout ByteUnpacker
    ) throws(UnpackingError) {
        for _ in 0..<(try fields.unsigned()) {
            let id = try fields.unsigned()
            let at = fields.offset
            let filter = try fields.prefixed()
            _ = try GrantFilter(reading: filter)
            guard filters[id] == nil, markFiltered(id, of: wallet) else { throw UnpackingError(offset: at) }
            keepFilter(filter, of: id, wallet: wallet)
        }
    }

    /// Sets the bit of a grant that is in the wallet's list already. False where it is not.
    private mutating func markFiltered(_ id: UInt64, of wallet: UInt32) -> Bool {
        if accounts[wallet].firstGrant.id == id {
            accounts[wallet].firstGrant.hasFilter = true
            return true
        }
        var current = accounts[wallet].firstGrant.next
        while current != AccountRow.none {
            if grants[current].id == id {
                grants[current].hasFilter = true
                return true
            }
            current = grants[current].next
        }
        return false
    }
}
