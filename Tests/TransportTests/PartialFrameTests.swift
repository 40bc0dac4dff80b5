// How long and how slowly a frame may arrive. The time is given, so nothing waits.

import NIOCore
import Testing

@testable import Transport

@Suite("incomplete frames")
struct PartialFrameTests {
    /// Sends `bytes` at the beginning of each second and looks, as the watch does, at the end of it.
    /// Returns the second after which the frame was given up, and why.
    static func run(
        _ limits: TransportLimits, seconds: Int, bytes: (Int) -> Int
    ) -> (second: Int, fault: PartialFrame.Fault)? {
        var frame = PartialFrame(bytes: bytes(0), at: at(0))
        for second in 1...seconds {
            if let fault = frame.check(at: at(second), limits) { return (second, fault) }
            frame.receive(bytes: bytes(second))
        }
        return nil
    }

    static func at(_ seconds: Int) -> NIODeadline {
        .uptimeNanoseconds(UInt64(1_000 + seconds) * 1_000_000_000)
    }

    @Test("a frame is given up at the end of the first five seconds that brought less than the floor")
    func floor() throws {
        var limits = TransportLimits()
        limits.partialFrameSecondsMax = 3_600
        // A byte a second, and all at once and then nothing: 1 280 bytes last for five seconds, not for ten.
        for rows: (Int, (Int) -> Int) in [
            (5, { _ in 1 }), (5, { $0 == 0 ? 1_279 : 0 }), (10, { $0 == 0 ? 1_280 : 0 }),
            (10, { $0 < 5 ? 1_000_000 : 255 }),
        ] {
            let end = try #require(Self.run(limits, seconds: 60, bytes: rows.1))
            #expect(end.second == rows.0 && end.fault == .tooSlow)
        }
        #expect(Self.run(limits, seconds: 3_600) { _ in 256 } == nil)
    }

    @Test("a frame that comes fast enough is given up after the longest time, and without a floor only then")
    func longest() throws {
        var limits = TransportLimits()
        let end = try #require(Self.run(limits, seconds: 60) { _ in 256 })
        #expect(end.second == 11 && end.fault == .tooLong)
        limits.partialFrameBytesPerSecondMin = 0
        let slow = try #require(Self.run(limits, seconds: 60) { _ in 0 })
        #expect(slow.second == 11 && slow.fault == .tooLong)
    }

    @Test("time in which this side did not read is not held against the frame")
    func paused() {
        let limits = TransportLimits()
        var frame = PartialFrame(bytes: 1, at: Self.at(0))
        for second in 1...100 {
            frame.pause(until: Self.at(second))
            #expect(frame.check(at: Self.at(second), limits) == nil)
        }
        #expect(frame.age(at: Self.at(103)) == .seconds(3))
        #expect(frame.check(at: Self.at(104), limits) == nil)
        #expect(frame.check(at: Self.at(105), limits) == .tooSlow)
    }

    @Test("a floor of any size and a loop that was late are no overflow")
    func extremes() {
        var limits = TransportLimits()
        limits.partialFrameSecondsMax = 1 << 30
        limits.partialFrameBytesPerSecondMin = .max
        var frame = PartialFrame(bytes: 1 << 20, at: Self.at(0))
        #expect(frame.check(at: Self.at(1 << 20), limits) == .tooSlow)
    }
}
