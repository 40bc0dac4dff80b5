// The bytes of an entry: how each kind is written, and how it is read back. The picture is in Entry.

import Bytes
import Pricing

// MARK: - Writing

extension BytePacker {
    mutating func append(_ value: UInt32) { append(UInt64(value)) }

    /// The length of an entry is written when its end is known: two bytes are kept for it, as a packed
    /// number of exactly that size. Longer entries move up to make room.
    mutating func beginEntry(_ kind: EntryKind) -> Int {
        let start = count
        append(byte: 0)
        append(byte: 0)
        append(byte: kind.rawValue)
        return start
    }

    mutating func endEntry(from start: Int) {
        setPackedLength(at: start, length: count - start - 2)
    }

    mutating func append(_ draw: Draw) {
        append(bytesMax: 2 * Self.numberBytesMax) { packer in
            packer.append(draw.grant)
            packer.append(UInt64(draw.amount))
        }
    }

    @inline(__always)
    mutating func append(time: Timestamp, _ entry: ChargeEntry) {
        let start = count
        append(bytesMax: Self.bytesMax(entry)) { packer in
            packer.append(byte: 0)
            packer.append(byte: 0)
            packer.append(byte: EntryKind.charged.rawValue)
            Self.append(time: time, entry, to: &packer)
        }
        endEntry(from: start)
    }

    /// What the fields of a charge take at the most: a head, six fixed words and at most twenty-one numbers,
    /// beside the texts.
    @inline(__always)
    static func bytesMax(_ entry: ChargeEntry) -> Int {
        entry.tier.count + entry.draws.bytes.count + entry.content.count + 80
            + 28 * BytePacker.numberBytesMax
    }

    @inline(__always)
    static func append(time: Timestamp, _ entry: ChargeEntry, to packer: inout PackCursor) {
        var flags: UInt8 = entry.state == .parked ? 1 : 0
        if entry.standardTierUsed { flags |= 2 }
        if entry.wallet != entry.account { flags |= 4 }
        if entry.allowanceUsed != 0 { flags |= 8 }
        if entry.hold != nil { flags |= 16 }
        if entry.holdExpired { flags |= 32 }
        if entry.orphan != nil { flags |= 64 }
        packer.append(byte: flags)
        packer.append(time.microseconds)
        packer.append(entry.account)
        if entry.wallet != entry.account {
            packer.append(entry.wallet)
            packer.append(UInt64(entry.walletPathCount))
        }
        packer.append(prefixed: entry.tier)
        packer.append(fixed: entry.key.low)
        packer.append(fixed: entry.key.high)
        packer.append(fixed: entry.digest)
        if entry.state == .parked {
            packer.append(byte: entry.parkedReason?.rawValue ?? 0)
        } else {
            packer.append(UInt64(entry.baseCost))
            packer.append(UInt64(entry.fee))
            if entry.allowanceUsed != 0 {
                packer.append(UInt64(entry.allowanceUsed))
                packer.append(Int64(entry.month.count))
            }
            packer.append(entry.ruleNumber)
            packer.append(entry.ruleVersion)
            packer.append(entry.catalogueVersion)
        }
        if let hold = entry.hold {
            packer.append(fixed: hold.low)
            packer.append(fixed: hold.high)
            packer.append(UInt64(entry.holdReleased))
        }
        if let orphan = entry.orphan { packer.append(orphan) }
        packer.append(entry.balanceAfter)
        packer.append(UInt64(entry.draws.count))
        packer.append(bytes: entry.draws.bytes)
        packer.append(bytes: entry.content)
    }

    mutating func append(time: Timestamp, _ entry: GrantEntry) {
        let kind = entry.kindOfEntry
        let start = beginEntry(kind)
        if kind != .granted { appendExtras(entry) }
        append(time.microseconds)
        append(entry.wallet)
        append(byte: entry.kind.rawValue)
        append(UInt64(entry.burnOrder))
        append(UInt64(entry.amount))
        append(UInt64(entry.debtRepaid))
        append(entry.expiresAt.microseconds)
        append(byte: entry.key == nil ? 0 : 1)
        if let key = entry.key {
            append(fixed: key.low)
            append(fixed: key.high)
            append(fixed: entry.digest)
        }
        append(entry.balanceAfter)
        append(prefixed: entry.path)
        append(prefixed: entry.source)
        append(prefixed: entry.metadata)
        append(prefixed: entry.idempotencyKey)
        endEntry(from: start)
    }

    mutating func append(time: Timestamp, _ entry: GrantEndedEntry) {
        let isVoided = entry.cause == .voided
        let start = beginEntry(isVoided ? .grantVoided : .grantEnded)
        append(time.microseconds)
        append(entry.wallet)
        append(entry.grant)
        append(UInt64(entry.amount))
        append(byte: entry.cause.rawValue)
        append(entry.balanceAfter)
        append(prefixed: entry.path)
        if isVoided { append(entry.act) }
        endEntry(from: start)
    }

    mutating func append(time: Timestamp, _ entry: AccountOpenedEntry) {
        let start = beginEntry(.accountOpened)
        append(time.microseconds)
        append(entry.account)
        append(byte: (entry.ownsWallet ? 1 : 0) | (entry.unlimited ? 2 : 0))
        append(UInt64(entry.overdraftLimit))
        append(prefixed: entry.path)
        append(prefixed: entry.tier)
        endEntry(from: start)
    }

    mutating func append(time: Timestamp, _ entry: AccountChangedEntry) {
        let start = beginEntry(.accountChanged)
        append(time.microseconds)
        append(entry.account)
        append(byte: entry.status.rawValue)
        append(byte: entry.unlimited ? 1 : 0)
        append(UInt64(entry.overdraftLimit))
        append(prefixed: entry.path)
        append(prefixed: entry.tier)
        append(prefixed: entry.reason)
        endEntry(from: start)
    }
}

// MARK: - Reading

extension ByteUnpacker {
    mutating func timestamp() throws(UnpackingError) -> Timestamp {
        Timestamp(microseconds: try signed())
    }

    mutating func unsigned32() throws(UnpackingError) -> UInt32 {
        let start = offset
        guard let value = UInt32(exactly: try unsigned()) else { throw UnpackingError(offset: start) }
        return value
    }

    /// An amount that is never negative.
    mutating func amount() throws(UnpackingError) -> Int64 {
        let start = offset
        guard let value = Int64(exactly: try unsigned()) else { throw UnpackingError(offset: start) }
        return value
    }

    /// A byte of flags. A flag from the future changes what follows, so it is not skipped.
    mutating func flags(max: UInt8) throws(UnpackingError) -> UInt8 {
        let start = offset
        let flags = try byte()
        guard flags <= max else { throw UnpackingError(offset: start) }
        return flags
    }

    /// Nothing comes after the last field: what does was written by a version that knows more.
    func end() throws(UnpackingError) {
        guard isAtEnd else { throw UnpackingError(offset: offset) }
    }

    mutating func draw() throws(UnpackingError) -> Draw {
        let grant = try unsigned()
        return Draw(grant: grant, amount: try amount())
    }

    /// A draw of bytes that were read as draws before.
    mutating func checkedDraw() -> Draw {
        do throws(UnpackingError) {
            return try draw()
        } catch {
            preconditionFailure("draws were read before, yet \(error)")
        }
    }

    /// Reads of a charge only where it will be looked up: its wallet, and the low half of its key.
    mutating func chargePlaces() throws(UnpackingError) -> (wallet: UInt32, keyLow: UInt64) {
        let flags = try byte()
        _ = try signed()
        var wallet = try unsigned32()
        if flags & 4 != 0 {
            wallet = try unsigned32()
            _ = try unsigned()
        }
        _ = try prefixed()
        return (wallet, try fixed())
    }

    /// Reads the fields of a charge.
    mutating func charge() throws(UnpackingError) -> (Timestamp, ChargeEntry) {
        var entry = ChargeEntry()
        let flags = try flags(max: 127)
        entry.state = flags & 1 == 0 ? .charged : .parked
        entry.standardTierUsed = flags & 2 != 0
        let time = try timestamp()
        entry.account = try unsigned32()
        entry.wallet = entry.account
        if flags & 4 != 0 {
            entry.wallet = try unsigned32()
            let at = offset
            guard let count = UInt8(exactly: try unsigned()) else { throw UnpackingError(offset: at) }
            entry.walletPathCount = Int(count)
        }
        entry.tier = try prefixed()
        entry.key = try key()
        entry.digest = try fixed()
        if entry.state == .parked {
            let at = offset
            guard let reason = Reason(rawValue: try byte()) else { throw UnpackingError(offset: at) }
            entry.parkedReason = reason
        } else {
            entry.baseCost = try amount()
            entry.fee = try amount()
            if flags & 8 != 0 {
                entry.allowanceUsed = try amount()
                let at = offset
                guard let month = CalendarMonth(stored: try signed()), entry.allowanceUsed <= entry.fee
                else { throw UnpackingError(offset: at) }
                entry.month = month
            }
            entry.ruleNumber = try unsigned32()
            entry.ruleVersion = try unsigned32()
            entry.catalogueVersion = try unsigned32()
        }
        if flags & 16 != 0 {
            entry.hold = try key()
            entry.holdReleased = try amount()
        }
        entry.holdExpired = flags & 32 != 0
        if flags & 64 != 0 {
            let at = offset
            entry.orphan = try orphanLink()
            // Only a report that comes after the lease, and releases nothing, meets an orphan.
            guard entry.holdExpired, entry.hold == nil else { throw UnpackingError(offset: at) }
        }
        entry.balanceAfter = try signed()
        entry.draws = try packedDraws()
        entry.content = try bytes(view.count - offset)
        return (time, entry)
    }

    mutating func grant() throws(UnpackingError) -> (Timestamp, GrantEntry) {
        var entry = GrantEntry()
        let time = try timestamp()
        entry.wallet = try unsigned32()
        let at = offset
        guard let kind = GrantKind(rawValue: try byte()), let order = UInt16(exactly: try unsigned())
        else { throw UnpackingError(offset: at) }
        entry.kind = kind
        entry.burnOrder = order
        entry.amount = try amount()
        entry.debtRepaid = try amount()
        guard entry.debtRepaid <= entry.amount else { throw UnpackingError(offset: at) }
        entry.expiresAt = try timestamp()
        if try flags(max: 1) == 1 {
            entry.key = try key()
            entry.digest = try fixed()
        }
        entry.balanceAfter = try signed()
        entry.path = try prefixed()
        entry.source = try prefixed()
        entry.metadata = try prefixed()
        entry.idempotencyKey = try prefixed()
        try end()
        return (time, entry)
    }

    mutating func grantEnded(isVoided: Bool = false) throws(UnpackingError) -> (Timestamp, GrantEndedEntry) {
        var entry = GrantEndedEntry()
        let time = try timestamp()
        entry.wallet = try unsigned32()
        entry.grant = try unsigned()
        entry.amount = try amount()
        let at = offset
        guard let cause = GrantEndedEntry.Cause(rawValue: try byte()), isVoided == (cause == .voided) else {
            throw UnpackingError(offset: at)
        }
        entry.cause = cause
        entry.balanceAfter = try signed()
        entry.path = try prefixed()
        if isVoided { entry.act = try actDetails() }
        try end()
        return (time, entry)
    }

    mutating func accountOpened() throws(UnpackingError) -> (Timestamp, AccountOpenedEntry) {
        var entry = AccountOpenedEntry()
        let time = try timestamp()
        entry.account = try unsigned32()
        let flags = try flags(max: 3)
        entry.ownsWallet = flags & 1 != 0
        entry.unlimited = flags & 2 != 0
        entry.overdraftLimit = try amount()
        entry.path = try prefixed()
        entry.tier = try prefixed()
        try end()
        return (time, entry)
    }

    mutating func accountChanged() throws(UnpackingError) -> (Timestamp, AccountChangedEntry) {
        var entry = AccountChangedEntry()
        let time = try timestamp()
        entry.account = try unsigned32()
        let at = offset
        guard let status = AccountStatus(rawValue: try byte()) else { throw UnpackingError(offset: at) }
        entry.status = status
        entry.unlimited = try flags(max: 1) == 1
        entry.overdraftLimit = try amount()
        entry.path = try prefixed()
        entry.tier = try prefixed()
        entry.reason = try prefixed()
        try end()
        return (time, entry)
    }
}
