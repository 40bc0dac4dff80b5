// Accounts that open themselves, where an operator wants that: the first report of an unknown account opens it.
//
//      acme/search/alice   acme is there      → opened without a wallet: it draws on the nearest one above
//                          nothing is there   → acme is opened with an empty wallet, then acme/search/alice
//
// Off, an unknown account is refused with ACCOUNT_NOT_FOUND, so that a typing error is found and not billed.

import Bytes
import Ledger
import Pricing

extension Gateway {
    /// Opens an account that a record names, if the settings say so. False where nothing was opened.
    func autoOpen(_ path: ByteView, now: Timestamp, mark: inout AnswerMark) -> Bool {
        guard settings.opensAccounts else { return false }
        let tier = Array(settings.openedTier.utf8)
        do throws(AccountPath.Fault) {
            let organisationCount = try AccountPath.organisationCount(of: path)
            let organisation = path[0..<organisationCount]
            var isOpened = false
            if try ledger.status(of: organisation) == nil {
                // A tier without a rule would have every report of the account refused.
                guard priceBook.rules.knows(tier: settings.openedTier) else { return false }
                isOpened = try open(organisation, AccountSettings(tier: tier), now: now, mark: &mark)
            }
            guard organisationCount < path.count else { return isOpened }
            // Below an account that was moved, it is opened where that account is.
            guard let current = ledger.currentPath(of: path) else {
                return try open(path, AccountSettings(ownsWallet: false), now: now, mark: &mark)
            }
            return try current.withView { (path) throws(AccountPath.Fault) in
                try open(path, AccountSettings(ownsWallet: false), now: now, mark: &mark)
            }
        } catch {
            return false
        }
    }

    private func open(
        _ path: ByteView, _ settings: AccountSettings, now: Timestamp, mark: inout AnswerMark
    ) throws(AccountPath.Fault) -> Bool {
        guard case .done = try ledger.open(path, settings: settings, now: now, mark: &mark) else {
            return false
        }
        logger.info("account opened by its first call", metadata: ["account": "\(path.text)"])
        return true
    }
}

extension RuleBook {
    /// Whether a platform rule is made for a tier.
    fileprivate func knows(tier: String) -> Bool { platform.contains { $0.tierCode == tier } }
}
