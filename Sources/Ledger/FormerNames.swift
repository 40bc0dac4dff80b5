// The names that moved accounts had before.
//
// A router that has not heard of a move still names the old path. So a former name goes on leading to the account
// that had it, and what was below it to what is below the account now; it is nobody else's, ever: no account is
// opened under it and none is moved to it. That keeps every path that was once told to somebody the path of one
// account, whatever became of it.

import Bytes
import Pricing

/// What the former names of a shard lead to. Empty where nothing was ever moved, and then nothing is asked of it.
struct FormerNames {
    /// By the hash of a name, the account that had it.
    private var accounts: [Hash128: UInt32] = [:]
    /// By account, its names, oldest first.
    private var names: [UInt32: [[UInt8]]] = [:]

    var isEmpty: Bool { accounts.isEmpty }

    /// The account that had this very name.
    func account(_ hash: Hash128) -> UInt32? { accounts[hash] }

    /// The former names of an account, oldest first.
    func names(of account: UInt32) -> [[UInt8]] { names[account] ?? [] }

    mutating func add(_ name: [UInt8], hash: Hash128, of account: UInt32) {
        guard accounts[hash] == nil else { return }
        accounts[hash] = account
        names[account, default: []].append(name)
    }

    /// Forgets a name that its account has again.
    mutating func remove(_ name: [UInt8], hash: Hash128) {
        guard let account = accounts.removeValue(forKey: hash) else { return }
        let left = names(of: account).filter { $0 != name }
        names[account] = left.isEmpty ? nil : left
    }
}

/// The bounds of moves.
public enum MoveLimits {
    /// Accounts that move together: what is renamed in one step, under the shard's lock, about a microsecond each.
    public static let accountsMax = 10_000
    /// Former names of one account, those among them that it had because one above it moved.
    public static let namesMax = 256
}

extension ShardState {
    /// The hash of a path, or of what may be one.
    func hash(_ path: ByteView) -> Hash128 { KeyedHasher.hash(path, key: keys.secret) }

    func hash(_ path: [UInt8]) -> Hash128 { path.withView { hash($0) } }

    /// The hash that an account is found under which a path names: the path's own, unless it is a former name.
    @inline(__always)
    func current(_ hash: Hash128, of path: ByteView) -> Hash128 {
        if formerNames.isEmpty || find(hash) != nil { return hash }
        return moved(path).map { accounts[$0].hash } ?? hash
    }

    /// The account that a path leads to which is no account's any more.
    @inline(never)
    func moved(_ path: ByteView) -> UInt32? {
        currentPath(of: path).flatMap { find(hash($0)) }
    }

    /// What a path is by now that is a former name, or lies below one; nil where neither is so. There need not be an
    /// account under it. O(segments) looks, each of which leads nearer to the end of the path.
    @inline(never)
    func currentPath(of name: ByteView) -> [UInt8]? {
        guard !formerNames.isEmpty, name.count <= AccountPath.bytesMax else { return nil }
        var path = Array(name)
        var isFormer = false
        var end = path.count
        while end > 0 {
            let prefix = path[..<end]
            let hash = hash(Array(prefix))
            // What is below an account is below no former name of another.
            if find(hash) != nil { break }
            if let account = formerNames.account(hash) {
                path = Array(self.path(of: account)) + path[end...]
                isFormer = true
                // The account itself is there; a longer part of the path may be a former name again.
                end = path.count
                continue
            }
            end = prefix.lastIndex(of: UInt8(ascii: "/")) ?? 0
        }
        return isFormer ? path : nil
    }

    private struct Way: Hashable {
        var owner: UInt32
        var rest: [UInt8]
    }

    /// Every name under which an account may have been told of: its own, those it had, and those that it had because
    /// accounts above it had others. At most `atMost`, its own first.
    @inline(never)
    func knownNames(of account: UInt32, atMost: Int = MoveLimits.namesMax) -> [[UInt8]] {
        var found = [Array(path(of: account))]
        if formerNames.isEmpty { return found }
        var seen = Set(found)
        /// Accounts on the way whose names were put before the same rest.
        var done: Set<Way> = []
        var next = 0
        while next < found.count {
            let name = found[next]
            next += 1
            var end = name.count
            while end > 0 {
                let hash = hash(Array(name[..<end]))
                if let owner = find(hash) ?? formerNames.account(hash),
                    done.insert(Way(owner: owner, rest: Array(name[end...]))).inserted
                {
                    for other in [Array(path(of: owner))] + formerNames.names(of: owner) {
                        let candidate = other + name[end...]
                        guard candidate.count <= AccountPath.bytesMax, seen.insert(candidate).inserted,
                            candidate.withView({ moved($0) }) == account
                        else { continue }
                        found.append(candidate)
                        if found.count >= atMost { return found }
                    }
                }
                end = name[..<end].lastIndex(of: UInt8(ascii: "/")) ?? 0
            }
        }
        return found
    }

    /// Whether a hash is that of a name under which an account may have been told of.
    @inline(never)
    func isKnown(_ hash: Hash128, as account: UInt32) -> Bool {
        !formerNames.isEmpty && knownNames(of: account).contains { self.hash($0) == hash }
    }

    /// Whether a digest is that of the same record under another name of its account.
    ///
    /// - Parameter digest: makes the digest that the record has under a name.
    @inline(never)
    func isSame(_ first: UInt64, of path: ByteView, _ digest: (ByteView) -> UInt64) -> Bool {
        guard !formerNames.isEmpty, let account = find(hash(path)) ?? moved(path) else { return false }
        return knownNames(of: account).contains { $0.withView(digest) == first }
    }

    /// The digest of the first act under a key that was used before, if this one is the same under another name of
    /// its account.
    @inline(never)
    func sameAct(_ conflict: Refusal, of path: ByteView, _ digest: (ByteView) -> UInt64) -> UInt64? {
        let first = UInt64(bitPattern: conflict.found)
        return isSame(first, of: path, digest) ? first : nil
    }

    // MARK: - In a checkpoint

    func packFormerNames(of account: UInt32, into packer: inout BytePacker) {
        for name in formerNames.names(of: account) { name.withView { packer.append(prefixed: $0) } }
    }

    mutating func restoreFormerNames(
        of account: UInt32, from fields: inout ByteUnpacker
    ) throws(UnpackingError) {
        while !fields.isAtEnd {
            let at = fields.offset
            let name = Array(try fields.prefixed())
            let hash = hash(name)
            guard !name.isEmpty, name.count <= AccountPath.bytesMax, find(hash) == nil,
                formerNames.account(hash) == nil
            else {
                throw UnpackingError(offset: at)
            }
            formerNames.add(name, hash: hash, of: account)
            _ = makeSide(of: account)
        }
    }
}
