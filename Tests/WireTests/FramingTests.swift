// Frames are found at every cut, and a header that cannot be right is refused before anything is kept.

import Bytes
import Testing

@testable import Wire

@Suite("framing")
struct FramingTests {
    private func scan(_ bytes: [UInt8], limit: Int = WireLimits.messageBytesMax) throws -> FrameScan {
        try bytes.withView { view throws in try Framing.scan(view, messageBytesMax: limit) }
    }

    @Test("a frame cut at any byte is partial, and says how much more it needs")
    func everyCut() throws {
        let frame: [UInt8] = [0, 0, 0, 0, 3, 1, 2, 3]
        for cut in 0..<frame.count {
            let missing = cut < 5 ? 5 - cut : 8 - cut
            #expect(try scan(Array(frame.prefix(cut))) == .partial(missingBytes: missing), "cut \(cut)")
        }
        #expect(try scan(frame) == .whole(messageBytes: 3))
        #expect(try scan(frame + [0, 0]) == .whole(messageBytes: 3))
    }

    @Test("a flag other than 0 is refused at its first byte: TLS, HTTP and HTTP/2 begin with others")
    func otherProtocols() {
        for first in UInt8(1)...255 {
            #expect(throws: WireError.flag(found: first)) { try scan([first]) }
        }
    }

    @Test(
        "lengths of 0 and above the limit are refused when the header is there, before the message",
        arguments: [0, 1_048_577, UInt32.max])
    func lengths(length: UInt32) {
        let header = [0] + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: length >> $0) }
        #expect(throws: WireError.length(found: length, limit: 1_048_576)) { try scan(header) }
    }

    @Test("before authentication the limit is lower")
    func earlyLimit() throws {
        let header: [UInt8] = [0, 0, 0, 16, 1]
        #expect(throws: WireError.length(found: 4_097, limit: 4_096)) {
            try scan(header, limit: WireLimits.messageBeforeAuthBytesMax)
        }
        #expect(try scan(header) == .partial(missingBytes: 4_097))
    }

    @Test("the limits fit each other")
    func limitsRelate() {
        // A full batch of the longest records fits the arena's ceiling, and each record a frame.
        let texts =
            2 * WireLimits.idBytesMax + 128 + 2 * WireLimits.providerBytesMax + 2 * WireLimits.modelBytesMax
            + 2 * WireLimits.serviceTierBytesMax + WireLimits.quoteTokenBytesMax
        let tags = WireLimits.tagsMax * 2 * WireLimits.tagBytesMax
        #expect(texts + tags < WireLimits.messageBytesMax)
        #expect(WireLimits.messageBeforeAuthBytesMax < WireLimits.messageBytesMax)
        #expect(WireLimits.arenaBytesMax(messageBytes: WireLimits.messageBytesMax) == 16 * 1_048_576)
        #expect(WireLimits.arenaBytesMax(messageBytes: 0) >= 65_536)
    }
}
