// What an operator sets about the middle, with the defaults.

import Ledger
import Money

/// The settings of a gateway; each bound has a default and an answer when it is reached.
public struct GatewaySettings: Sendable {
    /// Where everything is kept; made if it is missing (its parent must exist).
    public var dataDirectory: String
    /// The value of a credit, fixed when the data directory is made.
    public var creditValue = CreditValue.standard
    /// Request ids remembered in memory; beyond it history is asked.
    public var idsMax = LedgerLimits.idsDefault
    /// Open holds at once; more are refused as OVERLOADED.
    public var holdsMax = HoldLimits.openDefault
    /// What a hold that does not say is charged when its lease ends without a report. A hold of an amount knows no
    /// input and no estimate: for these two it is released.
    public var orphanPolicy = HoldOrphan.release
    /// Bytes staged for the journal above which connections are not read until it has caught up.
    public var stagedBytesMax = 64 << 20
    /// The size of a journal segment.
    public var segmentBytes = 64 << 20
    /// Bytes of journal kept for a history that is behind; beyond it reports are refused as OVERLOADED.
    public var journalBytesMax = 32 << 30
    /// Time between two checkpoints.
    public var checkpointInterval = Duration.seconds(30)
    /// Accounts in one transaction of a checkpoint, at least one shard's: about a megabyte to be synchronized,
    /// which the journal may have to wait for.
    public var checkpointRowsAtOnce = 8_192

    /// Days after which usage keeps its figures only; 0 for never.
    public var historyRetentionDays = 0

    /// Whether a report or a hold for an account that is not there opens it.
    public var opensAccounts = false
    /// The tier of an organisation that is opened so.
    public var openedTier = "trial"

    /// How many days before it begins users must be told that they will pay more; 0 for no such guard.
    public var noticeDays = 30
    /// How much of a period's credit is used up when an event is to tell of it, in percent; ascending, 1 to 100.
    public var thresholds = [75, 90, 100]
    /// How long the token of a quote holds.
    public var quoteValid = Duration.seconds(300)

    public init(dataDirectory: String) { self.dataDirectory = dataDirectory }
}
