// The word that was probably meant.

public enum Nearest {
    /// The candidate with the fewest edits from `word`; nil when none is near.
    public static func match(_ word: String, among candidates: [String]) -> String? {
        let found = candidates.map { ($0, distance(word.lowercased(), $0.lowercased())) }.min { $0.1 < $1.1 }
        guard let found, found.1 <= max(2, word.count / 3), found.1 < word.count else { return nil }
        return found.0
    }

    /// `; did you mean …?` or what there is.
    public static func hint(_ word: String, among candidates: [String]) -> String {
        if let match = match(word, among: candidates) { return "did you mean `\(match)`?" }
        return "known are \(candidates.joined(separator: ", "))"
    }

    /// Insertions, deletions, replacements and swaps of neighbours. O(length²).
    public static func distance(_ left: String, _ right: String) -> Int {
        let (left, right) = (Array(left), Array(right))
        var beforeLast: [Int] = []
        var last = Array(0...right.count)
        for row in left.indices {
            var current = [row + 1]
            for column in right.indices {
                var best = min(last[column + 1] + 1, current[column] + 1)
                best = min(best, last[column] + (left[row] == right[column] ? 0 : 1))
                if row > 0, column > 0, left[row] == right[column - 1], left[row - 1] == right[column] {
                    best = min(best, beforeLast[column - 1] + 1)
                }
                current.append(best)
            }
            beforeLast = last
            last = current
        }
        return last[right.count]
    }
}
