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
        }
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
