// Why a gateway cannot start or go on.

import Journal
import Ledger
import Platform
import Pricing
import Store

/// What keeps a gateway from starting; each says where, what was found, and what to do.
public enum GatewayError: Error, Sendable {
    case lock(DirectoryLockError)
    case file(FileError)
    /// The directory above the data directory does not exist.
    case noParent(of: String)
    case journal(JournalError)
    case store(StoreError)
    case entry(EntryError)
    case pricing(PricingError)
    /// The data directory was made with another value of a credit.
    case creditValue(found: String, wanted: String)
    /// Recovery came to other totals than the parts say.
    case booksDoNotBalance(ShardTotals)
}

extension GatewayError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .lock(let error): "\(error)"
        case .file(let error): "\(error)"
        case .noParent(let directory):
            "the data directory \(directory) cannot be made, because the directory that it is to be in does not "
                + "exist: make that first, or name another data directory"
        case .journal(let error): "\(error)"
        case .store(let error): "\(error)"
        case .entry(let error): "the journal's entries contradict the checkpoint: \(error)"
        case .pricing(let error): "the stored prices or rules cannot be used: \(error)"
        case .creditValue(let found, let wanted):
            "the data directory was made with a credit worth \(found) USD, the settings say \(wanted);"
                + " the value is fixed for the life of a data directory: set credit_value_usd to \(found)"
        case .booksDoNotBalance(let totals):
            "recovery: the equation does not hold, in nanocredits: \(totals.equation()); nothing was changed"
        }
    }
}
