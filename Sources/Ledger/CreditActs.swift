// What administrators ask of credit beside granting it, and what is answered.

import Bytes
import Pricing

/// A charge as history knows it, to be refunded or noted.
public struct KnownCharge: Hashable, Sendable {
    /// The entry that charged it.
    public var sequence: UInt64
    /// What it came to, in nanocredits.
    public var charged: Int64
    public var requestID: [UInt8]

    public init(sequence: UInt64, charged: Int64, requestID: [UInt8]) {
        self.sequence = sequence
        self.charged = charged
        self.requestID = requestID
    }
}

/// What is to be done. Amounts are in nanocredits, above zero.
public enum CreditAct: Hashable, Sendable {
    /// Takes credit; beyond what is available only where that is allowed.
    case deduct(Int64, service: [UInt8], allowNegative: Bool)
    /// Gives back of a charge, at most what remains of it.
    case refund(Int64, of: KnownCharge, source: [UInt8])
    /// Takes back what is left of a grant, named by the entry that made it.
    case void(grant: UInt64)
    /// Makes a charge come to what it should have been: gives back what was too much of it, or writes down what
    /// was too little, which moves nothing. What was refunded before counts.
    case correct(to: Int64, of: KnownCharge, source: [UInt8])

    /// Tells acts apart in a digest; grants use the numbers of their kinds.
    fileprivate var tag: UInt8 {
        switch self {
        case .deduct: 101
        case .refund: 102
        case .void: 103
        case .correct: 104
        }
    }
}

/// An act, who asks for it and why.
public struct CreditCommand: Hashable, Sendable {
    public var act: CreditAct
    public var actor: [UInt8]
    public var reason: [UInt8]
    /// JSON, kept as given; empty without.
    public var metadata: [UInt8]
    /// Asking again with the same key and the same content does nothing twice.
    public var idempotencyKey: [UInt8]?

    public init(
        _ act: CreditAct, actor: [UInt8] = [], reason: [UInt8] = [], metadata: [UInt8] = [],
        idempotencyKey: [UInt8]? = nil
    ) {
        self.act = act
        self.actor = actor
        self.reason = reason
        self.metadata = metadata
        self.idempotencyKey = idempotencyKey
    }

    /// What is digested to tell a retry from another act.
    func append(to packer: inout BytePacker) {
        packer.append(byte: act.tag)
        switch act {
        case .deduct(let amount, let service, let allowNegative):
            packer.append(amount)
            service.withView { packer.append(prefixed: $0) }
            packer.append(byte: allowNegative ? 1 : 0)
        case .refund(let amount, let charge, let source):
            packer.append(amount)
            charge.requestID.withView { packer.append(prefixed: $0) }
            source.withView { packer.append(prefixed: $0) }
        case .void(let grant): packer.append(grant)
        case .correct(let amount, let charge, let source):
            packer.append(amount)
            charge.requestID.withView { packer.append(prefixed: $0) }
            source.withView { packer.append(prefixed: $0) }
        }
        for text in [actor, reason, metadata] { text.withView { packer.append(prefixed: $0) } }
    }
}

/// What becomes of the balance of an account that is closed.
public enum ClosingChoice: Hashable, Sendable {
    /// Nothing was said: only an account without balance is closed.
    case none
    /// The balance stays, and is there when the account is opened again.
    case keep
    /// Credit is taken back, debt is forgiven.
    case forfeit
    /// Credit goes over, grant by grant, or debt does; to an account of the same organisation.
    case transfer(to: [UInt8])
}

/// Why an act is not done, where a `Refusal` has no words for it. Amounts are in nanocredits.
public enum ActProblem: Hashable, Sendable {
    /// More is asked for than remains of the charge.
    case aboveCharge(asked: Int64, remaining: Int64, charged: Int64)
    /// The charge comes to what it should already.
    case nothingToCorrect(Int64)
    /// No grant with this number is alive in the wallet.
    case noGrant(UInt64)
    /// The account has a balance, and nothing was said of what is to become of it.
    case balanceLeft(Int64)
    /// Open holds keep credit of the wallet.
    case creditHeld(Int64)
    /// The account owns no wallet of its own.
    case noOwnWallet
    /// The account that is to take the balance is not there, is closed, or draws on the same wallet.
    case badTarget([UInt8])
    /// The account cannot be moved.
    case move(MoveProblem)
}

/// The answer to an act.
public enum CreditAnswer: Hashable, Sendable {
    case done(ActReceipt)
    case refused(Refusal)
    case problem(ActProblem)
    /// Only history knows whether the act's key was used before.
    case askHistory

    init(_ answer: ActAnswer) {
        switch answer {
        case .done(let receipt): self = .done(receipt)
        case .refused(let refusal): self = .refused(refusal)
        case .askHistory: self = .askHistory
        }
    }
}

extension [[UInt8]] {
    /// Lends a view of each of the texts.
    func withViews<Result, Failure: Error>(
        _ body: ([ByteView]) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try flatMap { $0 }.withView { (bytes) throws(Failure) in
            var views: [ByteView] = []
            var start = 0
            for text in self {
                views.append(bytes[start..<start + text.count])
                start += text.count
            }
            return try body(views)
        }
    }
}

extension Ledger {
    /// Does an act on the wallet of an account. `mark` is moved on to what the answer waits for.
    public func act(
        _ command: CreditCommand, on path: ByteView, now: Timestamp, history: HistoryAnswer = .notAsked,
        mark: inout AnswerMark
    ) throws(AccountPath.Fault) -> CreditAnswer {
        _ = try AccountPath.organisationCount(of: path)
        let hashes = keys.path(path)
        let key = command.idempotencyKey.map {
            $0.withView { keys.act($0, organisation: hashes.organisation) }
        }
        let digest = digest(of: command, account: path)
        let number = shard(of: hashes.organisation)
        return shards[number].state.withLock { state in
            state.historySequence = lookahead[number].historySequence.load(ordering: .relaxed)
            let account = state.current(hashes.account, of: path)
            var answer = state.act(
                command, on: account, key: key, digest: digest, now: now, history: history)
            if case .refused(let refusal) = answer, refusal.reason == .idempotencyConflict,
                let first = state.sameAct(
                    refusal, of: path, { self.digest(of: command, account: $0) })
            {
                answer = state.act(command, on: account, key: key, digest: first, now: now, history: history)
            }
            mark.include(state)
            note(number, state)
            return answer
        }
    }

    private func digest(of command: CreditCommand, account: ByteView) -> UInt64 {
        var packer = BytePacker(capacity: 256)
        packer.append(prefixed: account)
        command.append(to: &packer)
        return keys.digest(packer.view)
    }

    /// Closes an account, after what was chosen has become of its balance. Closing it again says so, and
    /// changes nothing.
    public func close(
        _ path: ByteView, _ choice: ClosingChoice, actor: [UInt8], reason: [UInt8], now: Timestamp,
        mark: inout AnswerMark
    ) throws(AccountPath.Fault) -> CreditAnswer {
        _ = try AccountPath.organisationCount(of: path)
        let hashes = keys.path(path)
        var target: Hash128?
        var targetPath: [UInt8] = []
        if case .transfer(let other) = choice {
            target = try other.withView { (other) throws(AccountPath.Fault) in
                _ = try AccountPath.organisationCount(of: other)
                let found = keys.path(other)
                return found.organisation == hashes.organisation ? found.account : nil
            }
            targetPath = other
        }
        let number = shard(of: hashes.organisation)
        return shards[number].state.withLock { state in
            let target = target.map { hash in targetPath.withView { state.current(hash, of: $0) } }
            let answer = state.close(
                state.current(hashes.account, of: path), choice, to: target, actor: actor, reason: reason,
                now: now)
            mark.include(state)
            note(number, state)
            return answer
        }
    }
}
