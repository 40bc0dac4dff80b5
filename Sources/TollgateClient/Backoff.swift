// How long to wait before the next attempt: exponentially longer, with full jitter, so that clients
// which lost the same server do not come back in step. Source: Brooker, "Exponential Backoff And
// Jitter", AWS Architecture Blog, 2015.

/// Waiting times that double up to a ceiling.
struct Backoff {
    let first: Duration
    let longest: Duration
    private(set) var attempts = 0

    init(first: Duration, longest: Duration) {
        self.first = first
        self.longest = longest
    }

    /// The wait before the next attempt, drawn from zero to the current ceiling; the ceiling doubles.
    mutating func next(using generator: inout some RandomNumberGenerator) -> Duration {
        let doublings = min(attempts, 20)
        let ceiling = min(first * (1 << doublings), longest)
        attempts += 1
        let nanoseconds = Int64(ceiling / .nanoseconds(1))
        return .nanoseconds(Int64.random(in: 0...max(nanoseconds, 0), using: &generator))
    }

    /// To be called after a success.
    mutating func reset() { attempts = 0 }
}
