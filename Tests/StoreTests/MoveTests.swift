// Which rows an account had under which path, and what a path of then is called now.

import Testing

@testable import Store

@Suite("moves in the history")
struct MoveTests {
    private func moves(_ list: [(id: Int64, from: String, to: String)]) -> AccountMoves {
        var moves = AccountMoves()
        for move in list {
            moves.add(
                AccountMoves.Move(
                    id: move.id, lsn: UInt64(move.id) * 10, from: Array(move.from.utf8),
                    to: Array(move.to.utf8)))
        }
        return moves
    }

    private func text(_ stretches: [AccountMoves.Stretch]) -> [String] {
        stretches.map {
            let last = $0.ids.upperBound == .max ? "" : "\($0.ids.upperBound)"
            return "\(String(decoding: $0.path, as: UTF8.self)) \($0.ids.lowerBound)-\(last)"
        }
    }

    @Test("the rows of an account lie under each of its paths, for its time, newest first")
    func stretches() {
        // acme/a goes to acme/b/a and its member on to acme/z; then acme/a comes back.
        let moves = moves([
            (10, "acme/a", "acme/b/a"), (20, "acme/b/a/x", "acme/z"), (30, "acme/b/a", "acme/a"),
            (40, "acme/q", "acme/r"),
        ])
        func rows(_ path: String, upTo lastID: Int64 = .max) -> [String] {
            text(moves.stretches(of: Array(path.utf8), upTo: lastID))
        }
        #expect(rows("acme/a") == ["acme/a 30-", "acme/b/a 10-29", "acme/a 1-9"])
        #expect(rows("acme/a/y") == ["acme/a/y 30-", "acme/b/a/y 10-29", "acme/a/y 1-9"])
        #expect(rows("acme/z/deep") == ["acme/z/deep 20-", "acme/b/a/x/deep 10-19", "acme/a/x/deep 1-9"])
        #expect(
            rows("acme/b") == ["acme/b 1-"] && rows("acme") == ["acme 1-"]
                && rows("acme/aa") == ["acme/aa 1-"])
        // A row of then knows the path of then.
        #expect(rows("acme/b/a", upTo: 25) == ["acme/b/a 10-25", "acme/a 1-9"])
        #expect(rows("acme/a", upTo: 5) == ["acme/a 1-5"])
    }

    @Test("what went away with a move is no other account's past")
    func vacated() {
        // acme/a/x moved out, then acme/a moved; an acme/b/x that is opened later has no rows of acme/a/x.
        let moves = moves([(10, "acme/a/x", "acme/z"), (20, "acme/a", "acme/b")])
        #expect(
            text(moves.stretches(of: Array("acme/b/x".utf8))) == ["acme/b/x 20-", "acme/a/x 10-19"])
        #expect(text(moves.stretches(of: Array("acme/z".utf8))) == ["acme/z 10-", "acme/a/x 1-9"])
    }

    @Test("a path of a row is followed through the moves behind it")
    func current() {
        let moves = moves([
            (10, "acme/a", "acme/b/a"), (20, "acme/b/a/x", "acme/z"), (30, "acme/b/a", "acme/a"),
        ])
        let cases: [(path: String, id: Int64, now: String)] = [
            ("acme/a/x", 9, "acme/z"), ("acme/a/x", 10, "acme/a/x"), ("acme/b/a/x", 19, "acme/z"),
            ("acme/a/y", 1, "acme/a/y"), ("acme/b/a/y", 15, "acme/a/y"), ("acme/z", 25, "acme/z"),
            ("acme/ab", 1, "acme/ab"), ("acme", 1, "acme"),
        ]
        for (path, id, now) in cases {
            #expect(moves.current(Array(path.utf8), afterID: id) == Array(now.utf8), "\(path) \(id)")
            #expect(
                moves.current(Array(path.utf8), afterLSN: UInt64(id) * 10) == Array(now.utf8), "\(path) \(id)"
            )
        }
        #expect(moves.current(Array("acme/a/x".utf8)) == Array("acme/z".utf8))
        #expect(moves.current(Array("acme/a".utf8)) == Array("acme/a".utf8))
    }
}
