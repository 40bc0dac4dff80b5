// What a client sends arrives field for field, and what it may not send is refused by name.

import Bytes
import Pricing
import Testing

@testable import Wire

@Suite("decoding calls")
struct DecodingTests {
    let decoder = FrameDecoder()

    /// Decodes and hands over what was read while it is valid.
    private func decode<Result>(
        _ message: [UInt8], _ body: (ClientFrame, borrowing UsageRecord) throws -> Result
    ) throws -> Result {
        var record = UsageRecord()
        return try message.withView { view throws in
            let frame = try decoder.decode(view, into: &record)
            return try body(frame, record)
        }
    }

    private func fault(of record: [UInt8]) throws -> Refusal? {
        try decode(reportFrame(record)) { frame, _ in
            guard case .report(let fault) = frame.call else {
                Issue.record("not a report")
                return nil
            }
            return fault
        }
    }

    @Test("every field of a record arrives in its own place")
    func everyField() throws {
        let texts: [UInt64: String] = [
            1: "request", 2: "acme/a", 4: "provider", 5: "model", 6: "flex", 27: "wanted-provider",
            28: "wanted-model", 29: "priority", 30: "hold", 31: "token",
        ]
        let message = ProtoWriter.build { frame in
            frame.number(1, 1 << 40)
            frame.number(2, 2_500)
            frame.message(3) { record in
                for (field, text) in texts { record.text(field, text) }
                record.number(3, 2)
                for field in UInt64(7)...22 { record.number(field, field * 1_000_003) }
                record.number(23, 1_764_000_000_000_001)
                record.number(24, 3)
                record.number(25, 2)
                record.number(26, 1)
                record.number(32, UInt64(bitPattern: -5))
                record.message(33) {
                    $0.text(1, "team"); $0.text(2, String(repeating: "x", count: 128))
                }
                record.message(33) {
                    $0.text(1, "é"); $0.text(2, "")
                }
            }
        }
        try decode(message) { frame, record in
            #expect(frame.callID == 1 << 40)
            #expect(frame.timeoutMilliseconds == 2_500)
            guard case .report(nil) = frame.call else {
                Issue.record("\(frame.call)")
                return
            }
            #expect(record.requestID.text == "request")
            #expect(record.account.text == "acme/a")
            #expect(record.credentialSource == .byok)
            #expect(record.provider.text == "provider")
            #expect(record.model.text == "model")
            #expect(record.serviceTier.text == "flex")
            let usage = record.usage
            let counts = [
                usage.inputTokens, usage.outputTokens, usage.cacheReadTokens, usage.cacheWrite5mTokens,
                usage.cacheWrite1hTokens, usage.inputAudioTokens, usage.inputImageTokens,
                usage.reasoningTokens, usage.outputAudioTokens, usage.outputImageTokens, usage.images,
                usage.webSearches, usage.seconds, usage.pages, usage.characters, usage.requests,
            ]
            #expect(counts == (7...22).map { $0 * 1_000_003 })
            #expect(record.eventTime.microseconds == 1_764_000_000_000_001)
            #expect(record.usageSource == .estimated)
            #expect(record.outcome == .cancelled)
            #expect(record.onInsufficient == .refuse)
            #expect(record.requestedProvider.text == "wanted-provider")
            #expect(record.requestedModel.text == "wanted-model")
            #expect(record.requestedServiceTier.text == "priority")
            #expect(record.holdID.text == "hold")
            #expect(record.quoteToken.text == "token")
            #expect(record.providerReportedCost == -5)
            let tags = TagList(record.tags).map { ($0.name.text, $0.value.text) }
            #expect(tags.map(\.0) == ["team", "é"])
            #expect(tags.map(\.1) == [String(repeating: "x", count: 128), ""])
        }
    }

    @Test("a slot used before keeps nothing of its earlier record")
    func reusedSlot() throws {
        var record = UsageRecord()
        let rich = reportFrame(
            smallRecord {
                $0.number(24, 1)
                $0.text(30, "hold")
                $0.number(32, 9)
                $0.message(33) { $0.text(1, "k") }
            })
        try rich.withView { view throws in _ = try decoder.decode(view, into: &record) }
        #expect(record.providerReportedCost == 9 && !record.tags.isEmpty)
        try reportFrame(smallRecord()).withView { view throws in
            _ = try decoder.decode(view, into: &record)
        }
        #expect(record.providerReportedCost == nil)
        #expect(record.tags.isEmpty && record.holdID.isEmpty && record.usageSource == .unspecified)
    }

    @Test("an id with a NUL inside keeps its length")
    func embeddedNul() throws {
        try decode(reportFrame(smallRecord { $0.bytes(1, [65, 0, 66]) })) { _, record in
            #expect(Array(record.requestID) == [65, 0, 66])
        }
    }

    @Test("fields beyond their limits are refused by name, with what was found")
    func limits() throws {
        let long = String(repeating: "x", count: 513)
        let cases: [(field: RecordField, found: Int64, expected: Int64, record: [UInt8])] = [
            (.requestID, 513, 128, smallRecord { $0.text(1, long) }),
            (.requestID, 0, 128, smallRecord { $0.text(1, "") }),
            (.requestID, 1, 0, smallRecord { $0.bytes(1, [65, 0xff]) }),
            (.credentialSource, 0, 0, smallRecord { $0.number(3, 0) }),
            (.provider, 0, 64, smallRecord { $0.text(4, "") }),
            (.model, 513, 128, smallRecord { $0.text(5, long) }),
            (.serviceTier, 513, 32, smallRecord { $0.text(6, long) }),
            (
                .inputTokens, 1_000_000_000_001, Usage.countMax,
                smallRecord { $0.number(7, 1_000_000_000_001) }
            ),
            (.requests, .max, Usage.countMax, smallRecord { $0.number(22, .max) }),
            (.eventTime, -1, 1, smallRecord { $0.number(23, .max) }),
            (.usageSource, 4, 3, smallRecord { $0.number(24, 4) }),
            (.outcome, 9, 3, smallRecord { $0.number(25, 9) }),
            (.onInsufficient, 2, 1, smallRecord { $0.number(26, 2) }),
            (.holdID, 513, 128, smallRecord { $0.text(30, long) }),
            (.quoteToken, 513, 512, smallRecord { $0.text(31, long) }),
            (.tags, 17, 16, smallRecord { for _ in 0..<17 { $0.message(33) { $0.text(1, "k") } } }),
            (.tags, 0, 128, smallRecord { $0.message(33) { $0.text(2, "v") } }),
            (
                .tags, 129, 128,
                smallRecord { $0.message(33) { $0.bytes(1, .init(repeating: 65, count: 129)) } }
            ),
        ]
        for row in cases {
            let expected = Refusal(
                .invalidArgument, field: row.field, found: row.found, expected: row.expected)
            #expect(try fault(of: row.record) == expected)
        }
        #expect(try fault(of: smallRecord { $0.number(7, 1_000_000_000_000) }) == nil)
        #expect(try fault(of: smallRecord { $0.text(1, String(long.prefix(128))) }) == nil)
    }

    @Test("an unknown word of credential source is refused with its number")
    func unknownCredentialSource() throws {
        let found = try fault(of: smallRecord { $0.number(3, 3) })
        #expect(found?.field == .credentialSource)
    }

    @Test("a batch is read by index, each record with its own fault")
    func batch() throws {
        let message = ProtoWriter.build { frame in
            frame.message(4) { batch in
                batch.bytes(1, smallRecord())
                batch.bytes(1, smallRecord { $0.number(24, 4) })
                batch.bytes(1, [])
            }
        }
        try decode(message) { frame, _ in
            guard case .reportBatch(let batch) = frame.call else {
                Issue.record("\(frame.call)")
                return
            }
            #expect(batch.count == 3 && batch.fault == nil)
            var slot = UsageRecord()
            #expect(decoder.read(batch, at: 0, into: &slot) == nil)
            #expect(slot.account.text == "acme/alice")
            #expect(decoder.read(batch, at: 1, into: &slot)?.field == .usageSource)
            #expect(decoder.read(batch, at: 2, into: &slot)?.field == .requestID)
        }
    }

    @Test("a batch of no records or of more than a thousand is refused as a whole", arguments: [0, 1_001])
    func batchLength(count: Int) throws {
        let message = ProtoWriter.build { frame in
            frame.message(4) { batch in for _ in 0..<count { batch.bytes(1, smallRecord()) } }
        }
        try decode(message) { frame, _ in
            guard case .reportBatch(let batch) = frame.call else {
                Issue.record("\(frame.call)")
                return
            }
            #expect(
                batch.fault
                    == Refusal(.invalidArgument, field: .records, found: Int64(count), expected: 1_000))
        }
    }

    @Test("quotes may leave out id and time; other calls come with their fields")
    func otherCalls() throws {
        let usage = ProtoWriter.build { record in
            record.text(2, "acme")
            record.number(3, 1)
            record.text(4, "p")
            record.text(5, "m")
        }
        try decode(
            ProtoWriter.build {
                $0.message(5) {
                    $0.bytes(1, usage); $0.number(2, 1)
                }
            }
        ) {
            frame, record in
            guard case .quote([.compare], fault: nil) = frame.call else {
                Issue.record("\(frame.call)")
                return
            }
            #expect(record.model.text == "m")
        }
        for (members, options) in [
            ([2], .compare), ([3], .brief), ([2, 3], [.compare, .brief]), ([], []),
        ] as [([UInt64], QuoteOptions)] {
            let question = ProtoWriter.build { frame in
                frame.message(5) { quote in
                    quote.bytes(1, usage)
                    for member in members { quote.number(member, 1) }
                }
            }
            try decode(question) { frame, _ in
                guard case .quote(options, fault: nil) = frame.call else {
                    Issue.record("\(frame.call)")
                    return
                }
            }
        }
        try decode(ProtoWriter.build { $0.message(5) { _ in } }) { frame, _ in
            guard case .quote([], fault: .some) = frame.call else {
                Issue.record("\(frame.call)")
                return
            }
        }
        let hold = ProtoWriter.build {
            $0.message(6) {
                $0.text(1, "h"); $0.text(2, "acme"); $0.number(3, 2); $0.number(4, 5); $0.number(6, 1)
                $0.number(7, 60_000); $0.number(9, 4)
            }
        }
        try decode(hold) { frame, _ in
            guard case .hold(fault: nil) = frame.call else {
                Issue.record("\(frame.call)")
                return
            }
            let call = decoder.hold
            #expect(call.terms.holdID.text == "h" && call.terms.amount == 5)
            #expect(call.terms.account.text == "acme" && call.terms.source == .byok)
            #expect(call.terms.policy == .clip && call.terms.leaseMilliseconds == 60_000)
            #expect(call.terms.orphanPolicy == .fullHold)
        }
        // The hold says account and source for its usage; what the usage says must be the same.
        for (account, source, isSound) in [
            ("acme/alice", 1, true), ("acme", 1, false), ("acme/alice", 2, false),
        ] {
            let priced = ProtoWriter.build {
                $0.message(6) {
                    $0.text(1, "h"); $0.text(2, account); $0.number(3, UInt64(source))
                    $0.bytes(5, smallRecord())
                }
            }
            try decode(priced) { frame, record in
                guard case .hold(let fault) = frame.call else {
                    Issue.record("\(frame.call)")
                    return
                }
                let call = decoder.hold
                #expect((fault == nil) == isSound, "\(account) \(source): \(String(describing: fault))")
                if isSound {
                    #expect(call.terms.amount == nil && record.account.text == account)
                    #expect(call.terms.orphanPolicy == nil)
                    #expect(record.credentialSource == .platform)
                }
            }
        }
        for bad in [
            ProtoWriter.build {
                $0.message(6) {
                    $0.text(2, "acme"); $0.number(3, 1); $0.number(4, 5)
                }
            },
            ProtoWriter.build {
                $0.message(6) {
                    $0.text(1, "h"); $0.text(2, "acme"); $0.number(4, 5)
                }
            },
            ProtoWriter.build {
                $0.message(6) {
                    $0.text(1, "h"); $0.text(2, "acme"); $0.number(3, 1)
                }
            },
            ProtoWriter.build {
                $0.message(6) {
                    $0.text(1, "h"); $0.text(2, "acme"); $0.number(3, 1); $0.number(4, 5); $0.number(6, 2)
                }
            },
            ProtoWriter.build {
                $0.message(6) {
                    $0.text(1, "h"); $0.text(2, "acme"); $0.number(3, 1); $0.number(4, 5); $0.number(9, 5)
                }
            },
        ] {
            try decode(bad) { frame, _ in
                guard case .hold(fault: .some) = frame.call else {
                    Issue.record("\(frame.call)")
                    return
                }
            }
        }
        let settle = ProtoWriter.build {
            $0.message(7) {
                $0.text(1, "h"); $0.bytes(2, smallRecord())
            }
        }
        try decode(settle) { frame, record in
            guard case .settle(fault: nil) = frame.call else {
                Issue.record("\(frame.call)")
                return
            }
            #expect(record.holdID.text == "h" && record.requestID.text == "r-1")
        }
        try decode(ProtoWriter.build { $0.message(10) { $0.text(1, "acme/b") } }) { frame, _ in
            guard case .getBalance(let account) = frame.call else {
                Issue.record("\(frame.call)")
                return
            }
            #expect(account.text == "acme/b")
        }
        try decode(ProtoWriter.build { $0.message(11) { $0.bytes(1, [1, 2]) } }) { frame, _ in
            guard case .ping(let payload) = frame.call else {
                Issue.record("\(frame.call)")
                return
            }
            #expect(Array(payload) == [1, 2])
        }
        try decode(
            ProtoWriter.build {
                $0.number(1, 5); $0.number(99, 1)
            }
        ) { frame, _ in
            guard case .empty = frame.call else {
                Issue.record("\(frame.call)")
                return
            }
            #expect(frame.callID == 5)
        }
    }

    @Test("a unary request is read without a frame around it")
    func unary() throws {
        var record = UsageRecord()
        try smallRecord().withView { view throws in
            guard case .report(nil) = try decoder.decode(view, as: .report, into: &record) else {
                Issue.record("not a report")
                return
            }
        }
        #expect(record.requestID.text == "r-1")
        for kind in CallKind.allCases {
            _ = try ByteView().withNothing { try decoder.decode($0, as: kind, into: &record) }
        }
    }
}

extension ByteView {
    func withNothing<Result>(_ body: (ByteView) throws -> Result) rethrows -> Result { try body(self) }
}
