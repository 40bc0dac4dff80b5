// The words for acts on credit that are not done.

import Ledger
import Money
import Pricing
import Store
import StrictJSON
import Wire

extension RequestProblem {
    static func account(_ problem: ActProblem, accountName: String) -> Account {
        switch problem {
        case .aboveCharge(let asked, let remaining, let charged):
            let rest =
                remaining == charged
                ? "\(words(charged)) were charged"
                : "\(words(remaining)) remain of the \(words(charged)) that were charged"
            return Account(
                status: Reason.invalidArgument.httpStatus, code: Reason.invalidArgument.text,
                message: "a refund of \(words(asked)) is more than there is to give back: \(rest); without a"
                    + " request_id it is goodwill, which has no such bound", param: "amount",
                metadata: [
                    "asked": .credits(asked), "remaining": .credits(remaining), "charged": .credits(charged),
                ])
        case .nothingToCorrect(let stands):
            return Account(
                status: 409, code: "NOTHING_TO_CORRECT",
                message: "the charge comes to \(words(stands)) already, refunds counted",
                param: "should_have_charged", metadata: ["charge": .credits(stands)])
        case .noGrant(let number):
            return Account(
                status: 404, code: "GRANT_NOT_FOUND",
                message:
                    "no grant \(number) has anything left in this wallet: it was spent, has expired or was"
                    + " voided, or belongs to another wallet; the transactions of type allocated show grant_id",
                param: "grant_id")
        case .balanceLeft(let balance):
            return Account(
                status: 409, code: "BALANCE_NOT_ZERO",
                message:
                    "the account has a balance of \(words(balance)): say what becomes of it with \"balance\":"
                    + " \"keep\", \"forfeit\" or \"transfer\"", param: "balance",
                metadata: ["balance": .credits(balance)])
        case .creditHeld(let held):
            return Account(
                status: 409, code: "CREDIT_HELD",
                message: "open holds keep \(words(held)) of this wallet: settle or void them first",
                param: "balance", metadata: ["held": .credits(held)])
        case .noOwnWallet:
            return Account(
                status: 409, code: "NO_WALLET",
                message:
                    "the account owns no wallet, so there is no balance to decide about: leave \"balance\" out",
                param: "balance")
        case .badTarget(let path):
            return Account(
                status: Reason.invalidArgument.httpStatus, code: Reason.invalidArgument.text,
                message:
                    "\(JSONValue.string(path.text).text) cannot take the balance: it must be another open"
                    + " account of the same organisation, with a wallet that this closing does not close",
                param: "transfer_to")
        case .move(let problem): return account(problem)
        }
    }

    /// Why an account is not moved, and what would help. Nothing was changed.
    private static func account(_ problem: MoveProblem) -> Account {
        func name(_ path: [UInt8]) -> String { JSONValue.string(path.text).text }
        var (status, code, param) = (409, "CANNOT_MOVE", "to")
        var metadata = JSONObject()
        let message: String
        switch problem {
        case .isOrganisation:
            (status, code, param) = (400, Reason.invalidArgument.text, "account")
            message =
                "it is an organisation: request ids, keys and the tree are its own, so only what is below one moves"
        case .otherOrganisation:
            (status, code) = (400, Reason.invalidArgument.text)
            message =
                "an account moves within its organisation: the path must begin with the same first segment and go on"
                + " below it"
        case .belowItself:
            (status, code) = (400, Reason.invalidArgument.text)
            message = "the path is below the account itself"
        case .exists(let path):
            (status, code) = (409, Reason.accountExists.text)
            message =
                "\(name(path)) stands there: choose a path that is free, or move that one away first; two accounts"
                + " are not made one"
        case .formerName(let path, let owner):
            (status, code) = (409, Reason.accountExists.text)
            message =
                "\(name(path)) is a former path of \(name(owner)), and reports under it still go there: choose another"
                + " path"
            metadata["moved_to"] = .string(owner.text)
        case .noParent(let path, let moved):
            (status, code) = (404, Reason.accountNotFound.text)
            if let moved {
                message = "\(name(path)) was moved to \(name(moved)): move the account there"
                metadata["moved_to"] = .string(moved.text)
            } else {
                message =
                    "there is no account \(name(path)) to move it below: open it first, with POST /api/v1/accounts or"
                    + " `tollgate accounts open \(path.text) --no-wallet`"
            }
        case .parentClosed(let path):
            (status, code) = (403, Reason.accountClosed.text)
            message = "\(name(path)) is closed, and so would be what is below it: open it again first"
        case .noWallet:
            message =
                "the account owns no wallet, and there is none above the path to pay for it: choose a place below one"
        case .noTier:
            message =
                "the account has no tier of its own, and there is none above the path to inherit: give it one first,"
                + " with PATCH /api/v1/accounts or `tollgate accounts set --tier`"
        case .badPath(let path, let fault):
            (status, code) = (400, Reason.invalidArgument.text)
            message = "\(name(path)) would be an account's path: \(fault)"
        case .tooMany(let count):
            param = "account"
            message =
                "\(count) accounts would move at once, and at most \(MoveLimits.accountsMax) do: move the ones below it"
                + " one after the other"
            metadata["accounts"] = .integer(count)
        case .tooManyNames:
            param = "account"
            message =
                "it has been under \(MoveLimits.namesMax) paths by now, all of which lead to it, and may have no more"
        case .holdsNotCovered(let held, let available, let wallet):
            code = "CREDIT_HELD"
            message =
                "open holds keep \(words(held)) of the wallet that stays behind, and \(name(wallet)), which would pay"
                + " for them, has \(words(available)) available: settle or void them first, or give it credit"
            metadata = [
                "held": .credits(held), "available": .credits(available), "wallet": .string(wallet.text),
            ]
        }
        return Account(status: status, code: code, message: message, param: param, metadata: metadata)
    }

    static func noCharge(_ lag: UInt64) -> Account {
        guard lag > 0 else {
            return Account(
                status: 404, code: "CHARGE_NOT_FOUND",
                message: "no request of this account has this request_id; its transactions name them all",
                param: "request_id")
        }
        return Account(
            status: 503, code: Reason.notReady.text,
            message: "the history is \(lag) entries behind and does not know this request_id yet: ask again",
            param: "request_id", metadata: ["history_lag": .integer(lag)], retryAfterMilliseconds: 1_000)
    }

    static func nothingCharged(_ state: UsageState) -> Account {
        let what =
            state == .parked
            ? "is parked and was not charged yet: settle it with other counts, or discard it"
            : "was given up, and nothing was charged"
        return Account(
            status: 409, code: "NOTHING_CHARGED", message: "the request \(what)", param: "request_id",
            metadata: ["state": .string(state.transactionType)])
    }

    private static func words(_ amount: Int64) -> String { "\(Nanocredits(amount).textWithCents) credits" }
}
