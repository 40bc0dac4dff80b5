// The bounds of the HTTP edge, each with its answer.

import Pricing

/// Bounds of requests and connections.
public enum AdminLimits {
    /// Connections at once; more wait in the listening socket's queue.
    public static let connectionsMax = 256
    /// The request line and all header fields; a longer head is answered 400 and the connection closed.
    public static let headBytesMax = 16 * 1_024
    public static let headerFieldsMax = 100
    /// A body; a longer one is answered 413.
    public static let bodyBytesMax = 1 << 20
    /// The body of a list of accounts to be opened.
    public static let bulkBodyBytesMax = 64 << 20
    /// A price list to be imported.
    public static let catalogueBodyBytesMax = PricingLimits.importBytesMax
    /// Price lists read at the same time; more are answered 503.
    public static let catalogueImportsMax = 1
    /// Lists of accounts read at the same time; more are answered 503.
    public static let bulkRequestsMax = 4
    /// Accounts in one list.
    public static let openingsMax = 10_000
    /// Rows of one CSV upload that gives credit, and bytes of a row. Longer files come in slices.
    public static let bulkRowsMax = 100_000
    public static let csvRowBytesMax = 64 * 1_024
    /// Previews that are kept to be confirmed, and for how long.
    public static let previewsMax = 2
    public static let previewKept = Duration.seconds(900)
    /// Bad rows that a preview lists; the others are only counted.
    public static let badRowsMax = 1_000
    /// Bytes that are still read, and thrown away, after a request was answered before its end.
    public static let lingerBytesMax = 16 << 20
    /// Seconds that the first head may take; a connection is closed after that.
    public static let firstHeadSecondsMax: Int64 = 10
    /// Seconds that a connection may be silent between requests.
    public static let idleSecondsMax: Int64 = 30
    /// A body must bring this many bytes in every `bodyPaceSeconds`.
    public static let bodyPaceBytesMin = 10 * 1_024
    public static let bodyPaceSeconds: Int64 = 10
    /// Seconds that stopping waits for answers under way.
    public static let drainSecondsMax: Int64 = 10

    /// Rows of a page of transactions, and how many without a wish.
    public static let pageRowsMax = 500
    public static let pageRowsDefault = 50
    /// Rows that `offset` may skip; `cursor` has no such bound.
    public static let offsetMax = 100_000

    /// Groups of a summary of usage, and how many without a wish.
    public static let usageGroupsMax = 10_000
    public static let usageGroupsDefault = 1_000
    /// Rows that one page of an export looks at, and how many without a wish.
    public static let exportRowsMax = 20_000
    public static let exportRowsDefault = 5_000

    public static let idempotencyKeyBytesMax = 128
    public static let requestIDBytesMax = 128
    public static let sourceBytesMax = 128
    public static let reasonBytesMax = 1_024
    public static let metadataBytesMax = 16 * 1_024
    public static let tierBytesMax = 64
    /// Names in each list of a grant's filter, and bytes of a name.
    public static let filterNamesMax = 32
    public static let filterNameBytesMax = 128
    /// Who does something, and where a price list comes from.
    public static let actorBytesMax = 128
    public static let catalogueSourceBytesMax = 512
    /// Entries at fault that a refusal names.
    public static let findingsMax = 1_000
    /// How long a question about a receipt waits for the history to catch up.
    public static let receiptWait = Duration.seconds(2)
    /// How long a statement waits for what was reported a moment ago, and how many entries that may be: a history that
    /// is further behind is shown as it is, at once.
    public static let latestWait = Duration.milliseconds(250)
    public static let latestEntriesMax: UInt64 = 5_000
    /// When a promo grant ends that was made without saying so.
    public static let promoDays: Int64 = 90
}
