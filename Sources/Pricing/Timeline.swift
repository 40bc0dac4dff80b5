// What is in force when, computed once: overlapping validities become steps that cover all time.
//
// Of everything that is valid at an instant, what began last is in force, and of two that began together
// the one with the higher order. When it ends, what it covered comes back, so a promotion that runs for a
// month needs no second change at its end.

/// Something valid from one instant until another.
struct Validity {
    var from: Timestamp
    var until: Timestamp
    /// Breaks ties among what began together.
    var order: UInt32
}

/// From `start` on, until the next step, this is in force: an index, or nothing.
struct TimelineStep: Hashable {
    var start: Timestamp
    var index: Int?
}

enum Timeline {
    /// The steps of `validities`, the first at the beginning of time. O(n log n).
    static func steps(_ validities: [Validity]) -> [TimelineStep] {
        let order = validities.indices.sorted { left, right in
            (validities[left].from, validities[left].order) < (
                validities[right].from, validities[right].order
            )
        }
        var steps = [TimelineStep(start: .distantPast, index: nil)]
        func append(_ start: Timestamp, _ index: Int?) {
            if steps[steps.count - 1].start == start { steps.removeLast() }
            if steps.last?.index != index || steps.isEmpty {
                steps.append(TimelineStep(start: start, index: index))
            }
        }
        // What is valid and covered, the one in force last.
        var covered: [Int] = []
        for (position, index) in order.enumerated() {
            var now = validities[index].from
            let next = position + 1 < order.count ? validities[order[position + 1]].from : .distantFuture
            covered.append(index)
            while true {
                while let top = covered.last, validities[top].until <= now { covered.removeLast() }
                append(now, covered.last)
                guard let top = covered.last, validities[top].until < next else { break }
                now = validities[top].until
            }
        }
        return steps
    }
}
