// A gateway just real enough for a load: it charges each request id once, keeps balances, and answers over
// plain sockets with a thread for each connection. It can be told to cheat, so that the load test can be
// seen to notice.

import Bytes
import Glibc
import Ledger
import Pricing
import Synchronization
import Wire

/// How a gateway may fail its customers.
enum Misconduct: Sendable {
    case none
    /// Every n-th new record is taken from the balance twice.
    case chargesTwice(every: Int)
    /// A repeated id is charged as if it were new.
    case forgetsIDs
    /// Closes the connection after so many frames of it, having charged the last but not answered it.
    case hangsUp(after: Int)
    /// Says UNAVAILABLE to every n-th record.
    case busy(every: Int)
}

/// Listens on a port of its own until it is closed.
final class BookGateway: Sendable {
    private struct Books {
        var outcomes: [[UInt8]: Receipt] = [:]
        var balances: [[UInt8]: Int64] = [:]
        var sequence: UInt64 = 0
        var fresh = 0
        var asked = 0
    }

    static let opening: Int64 = 1_000_000_000_000_000

    private let books = Mutex(Books())
    private let misconduct: Misconduct
    private let listener: CInt
    private let descriptors = Mutex<[CInt]>([])
    let port: Int

    init(_ misconduct: Misconduct = .none) {
        self.misconduct = misconduct
        let listener = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        self.listener = listener
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let port = unsafe withUnsafeMutablePointer(to: &address) { address in
            unsafe address.withMemoryRebound(to: sockaddr.self, capacity: 1) { general in
                precondition(unsafe bind(listener, general, length) == 0)
                precondition(listen(listener, 128) == 0)
                precondition(unsafe getsockname(listener, general, &length) == 0)
            }
            return unsafe Int(UInt16(bigEndian: address.pointee.sin_port))
        }
        self.port = port
    }

    /// Accepts connections until `close`.
    func start() {
        spawn {
            while true {
                let descriptor = accept(self.listener, nil, nil)
                guard descriptor >= 0 else { return }
                self.descriptors.withLock { $0.append(descriptor) }
                self.spawn { self.serve(descriptor) }
            }
        }
    }

    func close() {
        _ = shutdown(listener, CInt(SHUT_RDWR))
        for descriptor in descriptors.withLock({ $0 }) { _ = shutdown(descriptor, CInt(SHUT_RDWR)) }
    }

    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    private func spawn(_ body: @escaping @Sendable () -> Void) {
        var thread = pthread_t()
        let context = unsafe Unmanaged.passRetained(Body(body)).toOpaque()
        let code = unsafe pthread_create(
            &thread, nil,
            { context in
                if let context = unsafe context {
                    unsafe Unmanaged<Body>.fromOpaque(context).takeRetainedValue().run()
                }
                return nil
            }, context)
        precondition(code == 0)
        pthread_detach(thread)
    }

    private func serve(_ descriptor: CInt) {
        let (decoder, encoder) = (FrameDecoder(), FrameEncoder())
        var received: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        var frames = 0
        var isOpen = true
        while isOpen {
            let count = unsafe recv(descriptor, &chunk, chunk.count, 0)
            guard count > 0 else { break }
            received += chunk[..<count]
            var output: [UInt8] = []
            let consumed = received.withView { view in
                var start = 0
                while isOpen,
                    case .whole(let messageBytes)? = try? Framing.scan(view[start..<view.count])
                {
                    frames += 1
                    if case .hangsUp(let after) = misconduct, frames > after { isOpen = false }
                    let message = view[start + 5..<start + 5 + messageBytes]
                    let before = output.count
                    answer(message, decoder, encoder, &output)
                    if !isOpen { output.removeLast(output.count - before) }
                    start += 5 + messageBytes
                }
                return start
            }
            received.removeFirst(consumed)
            var sent = 0
            while sent < output.count {
                let count = unsafe output.withUnsafeBytes { all in
                    unsafe send(
                        descriptor, all.baseAddress.map { unsafe $0 + sent }, all.count - sent,
                        CInt(MSG_NOSIGNAL))
                }
                guard count > 0 else {
                    isOpen = false
                    break
                }
                sent += count
            }
        }
        descriptors.withLock { $0.removeAll { $0 == descriptor } }
        _ = Glibc.close(descriptor)
    }

    private func answer(
        _ message: ByteView, _ decoder: FrameDecoder, _ encoder: FrameEncoder, _ output: inout [UInt8]
    ) {
        var record = UsageRecord()
        defer { decoder.reset() }
        guard let frame = try? decoder.decode(message, into: &record) else { return }
        let envelope = Envelope.frame(callID: frame.callID)
        switch frame.call {
        case .report(let fault):
            switch charge(record, fault) {
            case .receipt(let receipt): encoder.append(receipt, in: envelope, to: &output)
            case .refusal(let refusal): encoder.append(refusal, in: envelope, to: &output)
            }
        case .reportBatch(let batch):
            encoder.append(batchOf: batch.count, in: envelope, to: &output) { index in
                var record = UsageRecord()
                let fault = decoder.read(batch, at: index, into: &record)
                return charge(record, fault)
            }
        case .settle(let fault):
            switch charge(record, fault) {
            case .receipt(let receipt): encoder.append(receipt, in: envelope, to: &output)
            case .refusal(let refusal): encoder.append(refusal, in: envelope, to: &output)
            }
        case .hold(nil):
            var hold = HoldAnswer()
            hold.holdID = decoder.hold.terms.holdID
            hold.state = .open
            encoder.append(hold, in: envelope, to: &output)
        case .quote:
            encoder.append(QuoteAnswer(), lines: QuoteLines(), in: envelope, to: &output)
        case .getBalance(let account):
            var balance = BalanceAnswer()
            balance.balance = books.withLock { $0.balances[Array(account)] ?? BookGateway.opening }
            encoder.append(balance, in: envelope, to: &output)
        default:
            encoder.append(Refusal(.unimplemented), in: envelope, to: &output)
        }
    }

    private func charge(_ record: borrowing UsageRecord, _ fault: Refusal?) -> ReportAnswer {
        if let fault { return .refusal(fault) }
        return books.withLock { books in
            books.asked += 1
            if case .busy(let every) = misconduct, books.asked % every == 0 {
                return .refusal(Refusal(.overloaded))
            }
            let id = Array(record.requestID)
            if var first = books.outcomes[id] {
                if case .forgetsIDs = misconduct {
                } else {
                    first.duplicate = true
                    return .receipt(first)
                }
            }
            books.fresh += 1
            books.sequence += 1
            var receipt = Receipt()
            receipt.sequence = books.sequence
            receipt.charge = record.usage.inputTokens * 2_500 + record.usage.outputTokens * 10_000
            let account = Array(record.account)
            var times: Int64 = 1
            if case .chargesTwice(let every) = misconduct, books.fresh % every == 0 { times = 2 }
            let balance = (books.balances[account] ?? BookGateway.opening) - receipt.charge * times
            books.balances[account] = balance
            receipt.balance = balance
            books.outcomes[id] = receipt
            return .receipt(receipt)
        }
    }
}
