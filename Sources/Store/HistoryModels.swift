// Which models are in use: what the newest outcomes were reported for.

import GRDB

/// A model as it was reported, and how often lately.
public struct ReportedModel: Hashable, Sendable {
    public var provider: String
    public var model: String
    /// Among the rows looked at.
    public var count: Int
}

extension HistoryStore {
    /// The models of the newest `rowsMax` outcomes, the most frequent first. O(rowsMax), about a microsecond each.
    public func recentModels(rowsMax: Int) throws(StoreError) -> [ReportedModel] {
        try read { (database, _) throws(StoreError) in
            var rows = try Statement(
                database, .history,
                """
                SELECT provider, model, count(*) AS n
                FROM (SELECT provider, model FROM usage_rows ORDER BY id DESC LIMIT ?)
                GROUP BY provider, model ORDER BY n DESC, provider, model
                """)
            rows.bind(Int64(rowsMax), at: 1)
            var found: [ReportedModel] = []
            while try rows.step() {
                found.append(
                    ReportedModel(provider: rows.text(0), model: rows.text(1), count: Int(rows.integer(2))))
            }
            return found
        }
    }
}
