// The balances of all accounts, asked for over the same protocol: the gateway's own word to compare the
// books with.

import Bytes
import Wire

/// Asks for balances over one connection, many at a time.
enum BalanceReader {
    /// How many questions are asked before their answers are read.
    private static let window = 256

    /// The balances of the run's accounts, in nanocredits, in their order.
    static func balances(_ plan: LoadPlan) throws(LoadError) -> [Int64] {
        let socket = try Socket(host: plan.host, port: plan.port)
        let workload = Workload(plan.workload)
        let (encoder, decoder) = (FrameEncoder(), FrameDecoder())
        let incoming = ByteQueue(capacity: 65_536)
        var balances = [Int64](repeating: 0, count: plan.workload.accounts)
        var next = 0
        while next < balances.count {
            let end = min(next + window, balances.count)
            var outgoing: [UInt8] = []
            for account in next..<end {
                workload.accountName(UInt32(account)).withView {
                    encoder.append(balanceOf: $0, callID: UInt64(account) + 1, to: &outgoing)
                }
            }
            try outgoing.withView { (view) throws(LoadError) in
                guard try socket.write(view, waits: true) == .bytes(view.count) else {
                    throw .disconnected(peer: socket.peer)
                }
            }
            var open = end - next
            while open > 0 {
                let room = unsafe incoming.roomBuffer(4_096)
                guard case .bytes(let count) = try unsafe socket.read(into: room, waits: true) else {
                    throw .disconnected(peer: socket.peer)
                }
                incoming.commit(count)
                open -= try readAnswers(incoming, decoder, into: &balances, workload)
            }
            next = end
        }
        return balances
    }

    /// Notes the balances among what was received; returns how many answers that was.
    private static func readAnswers(
        _ incoming: ByteQueue, _ decoder: FrameDecoder, into balances: inout [Int64], _ workload: Workload
    ) throws(LoadError) -> Int {
        let received = incoming.view
        var (start, answers) = (0, 0)
        var refusal: LoadError?
        do throws(WireError) {
            while refusal == nil,
                case .whole(let messageBytes) = try Framing.scan(received[start..<received.count])
            {
                let first = start + WireLimits.headerBytes
                let frame = try decoder.decodeAnswer(received[first..<first + messageBytes])
                start = first + messageBytes
                guard frame.callID >= 1 && frame.callID <= UInt64(balances.count) else { continue }
                let account = Int(frame.callID) - 1
                answers += 1
                switch frame.answer {
                case .balance(let balance): balances[account] = balance.balance
                case .status(let status):
                    refusal = .account(
                        workload.accountName(UInt32(account)),
                        refused: "\(status.reason.text), \(status.message.text)")
                default:
                    refusal = .account(
                        workload.accountName(UInt32(account)), refused: "it was answered with something else")
                }
            }
        } catch {
            throw .unreadableAnswer(error.message)
        }
        if let refusal { throw refusal }
        decoder.reset()
        incoming.consume(start)
        return answers
    }
}
