// The words of a refusal: what was found, and what to do about it.
//
// A `Refusal` is a few plain values, so that refusing costs nothing under load. Both edges, framed and
// HTTP, turn it into words here, so a client reads the same sentence on either. What the two numbers
// of a refusal mean depends on its reason:
//
//      reason                      found                        expected
//      insufficientCredits         needed nanocredits           available nanocredits
//      budgetExceeded, rateLimited the limit of the window      milliseconds until it may be tried again
//      idempotencyConflict         digest of the first content  digest of this content
//      invalidArgument, a text     its length in bytes          the longest allowed; 0: not UTF-8 at `found`
//      invalidArgument, a number   its value                    the limit
//      invalidUsage                the part                     the whole
//      overloaded, notReady        0                            milliseconds, or 0 for the usual wait

import Bytes
import Pricing

/// A figure that belongs to a refusal.
public enum RefusalFigure: Hashable, Sendable {
    case decimal(Int64)
    /// A digest, written as 16 hexadecimal digits.
    case digest(UInt64)

    /// The figure as text, as it stands in metadata.
    public var text: String {
        var text = BytePacker(capacity: 32)
        write(to: &text)
        return text.view.text
    }

    func write(to text: inout BytePacker) {
        switch self {
        case .decimal(let value): text.append(decimal: value)
        case .digest(let value): text.append(hexadecimal: value)
        }
    }
}

extension Refusal {
    /// What was found and what to do, one or two sentences for a person.
    public var message: String {
        var text = BytePacker(capacity: 512)
        writeMessage(to: &text)
        return text.view.text
    }

    /// When trying the same call again may help, in milliseconds; 0 if it will not.
    public var retryAfterMilliseconds: UInt32 {
        let usual: Int64
        switch reason {
        // A budget that does not begin again opens by no waiting.
        case .budgetExceeded where expected <= 0: return 0
        case .budgetExceeded, .rateLimited, .notReady: usual = 1_000
        case .overloaded: usual = 100
        case .diskFull: usual = 5_000
        default: return 0
        }
        return UInt32(clamping: expected > 0 && reason != .diskFull ? expected : usual)
    }

    /// The figures that belong to the reason, under the names they have in metadata; at most three.
    public var figures: [(name: StaticString, value: RefusalFigure)] {
        switch reason {
        case .insufficientCredits:
            affordableOutputTokens < 0
                ? [("needed", .decimal(found)), ("available", .decimal(expected))]
                : [
                    ("needed", .decimal(found)), ("available", .decimal(expected)),
                    ("affordable_output_tokens", .decimal(affordableOutputTokens)),
                ]
        case .budgetExceeded, .rateLimited:
            [("limit", .decimal(found))]
        case .idempotencyConflict:
            [
                ("first_digest", .digest(UInt64(bitPattern: found))),
                ("digest", .digest(UInt64(bitPattern: expected))),
            ]
        case .invalidUsage:
            [("part", .decimal(found)), ("whole", .decimal(expected))]
        case .invalidArgument where expected != 0:
            [("found", .decimal(found)), ("limit", .decimal(expected))]
        default:
            []
        }
    }

    /// Appends `message` to `text`.
    func writeMessage(to text: inout BytePacker) {
        switch reason {
        case .insufficientCredits:
            text.append("this needs ")
            text.append(credits: found)
            text.append(" credits, and ")
            text.append(credits: expected)
            text.append(" are available: grant credits, or ask for less")
        case .budgetExceeded:
            text.append("this would go above a hard budget of ")
            switch field {
            case .costBudget:
                text.append(credits: found)
                text.append(" credits")
            case .tokenBudget:
                text.append(decimal: found)
                text.append(" tokens")
            case .requestBudget:
                text.append(decimal: found)
                text.append(" requests")
            default: text.append(decimal: found)
            }
            if expected > 0 {
                text.append(" for its window: it opens again in ")
                text.append(waitingMilliseconds: expected)
                text.append(", or raise the budget")
            } else {
                text.append(", which does not begin again: raise the budget")
            }
            text.append("; the account's budgets, with those above it, say which it is")
        case .rateLimited:
            text.append("more calls than the limit of ")
            text.append(decimal: found)
            text.append(" allows: wait for retry_after_ms")
        case .idempotencyConflict:
            text.append(
                field == .holdID
                    ? "this hold_id was used before with other content (digest "
                    : "this request_id was used before with other content (digest ")
            text.append(hexadecimal: UInt64(bitPattern: found))
            text.append(", this one ")
            text.append(hexadecimal: UInt64(bitPattern: expected))
            text.append(
                field == .holdID
                    ? "): a retry repeats every field; another hold needs another hold_id"
                    : "): a retry repeats every field; new usage needs a new request_id")
        case .invalidUsage:
            writeUsageMessage(to: &text)
        case .invalidArgument:
            writeArgumentMessage(to: &text)
        default:
            text.append(fixedMessage)
        }
    }

    private func writeUsageMessage(to text: inout BytePacker) {
        let isWhole = field == .inputTokens || field == .outputTokens
        if isWhole { text.append("the parts of ") }
        text.append(field.name)
        text.append(isWhole ? " are " : " is ")
        text.append(decimal: found)
        text.append(isWhole ? " together, more than the whole, " : ", more than the whole it is part of, ")
        text.append(decimal: expected)
        text.append(": counts are totals, a part is included in its whole")
    }

    /// The sentences without figures.
    private var fixedMessage: StaticString {
        switch reason {
        case .accountSuspended:
            "the account, or one above it, is suspended: an administrator can resume it"
        case .accountClosed: "the account is closed: use another account"
        case .accountNotFound:
            "no such account: open it first, or let the gateway open accounts on their first report"
        case .accountExists: "the account is open already: grant credits to it instead"
        case .noPricingRule:
            """
            no pricing rule matches the provider, credential source and the account's tier: give the account a tier \
            that has one (its balance says which it has), or add a rule; there is no default
            """
        case .byokNotInTier:
            """
            a rule for this provider's own keys exists, but not for the account's tier: \
            change the tier, or report PLATFORM if the platform's key was used
            """
        case .providerInactive: "the provider is switched off: an administrator can activate it"
        case .unpricedModel:
            "the catalogue has no price for this provider and model: import or add its price"
        case .credentialMismatch:
            "the credential source differs from the hold's: settle with the source that was held"
        case .holdNotFound: "no such hold: it was never placed, or was settled long ago"
        case .holdAlreadySettled: "the hold is settled already: report further usage without it"
        case .holdVoided: "the hold was voided: report the usage without it"
        case .holdExpired:
            """
            the hold's lease ran out: settle it by its id, which charges the usage less what the end of the lease \
            charged, or place a new hold
            """
        case .quoteExpired:
            """
            the quote's token was good for requests that ended before this one: ask for a new quote, or \
            report the usage without quote_token to be charged by the prices in force
            """
        case .unauthenticated: "no valid credentials: send a key that is in force"
        case .permissionDenied: "this key may not do that: use a key with the right, or ask an administrator"
        case .deadlineExceeded:
            """
            the call was not decided within its timeout and has changed nothing: \
            try again with the same request_id
            """
        case .overloaded:
            """
            more work is waiting than the gateway accepts: \
            try again after retry_after_ms with the same request_id
            """
        case .diskFull:
            """
            there is no room to make this durable, so it was not done: \
            try again after retry_after_ms with the same request_id
            """
        case .notReady:
            """
            the gateway is starting or stopping: \
            try again after retry_after_ms with the same request_id
            """
        case .unimplemented: "this version of the gateway does not carry out this call"
        case .insufficientCredits, .budgetExceeded, .rateLimited, .idempotencyConflict, .invalidUsage,
            .invalidArgument:
            ""
        }
    }

    private func writeArgumentMessage(to text: inout BytePacker) {
        if field != .none {
            text.append(field.name)
            text.append(" ")
        }
        switch field {
        case .none:
            text.append("a field is malformed")
        case .account:
            text.append("is not a path of 1 to 8 segments of [A-Za-z0-9._:@-] joined by '/', ")
            text.append("at most 128 bytes long: for example acme/search/alice")
        case .credentialSource:
            if found == 0 {
                text.append("is missing: say PLATFORM or BYOK, a guess would bill the wrong party")
            } else {
                writeUnknownWord(to: &text)
            }
        case .usageSource, .outcome, .onInsufficient:
            writeUnknownWord(to: &text)
        case .orphanPolicy:
            if expected != 0 { return writeUnknownWord(to: &text) }
            text.append(found == 2 ? "is INPUT_ONLY" : "is ESTIMATE")
            text.append(", and an amount says nothing of input and output: give a usage to be priced, ")
            text.append("or choose RELEASE or FULL_HOLD")
        case .requestID, .provider, .model, .serviceTier, .requestedProvider, .requestedModel,
            .requestedServiceTier, .holdID:
            writeTextFault(to: &text)
        case .quoteToken:
            writeTokenFault(to: &text)
        case .tags:
            writeTagsFault(to: &text)
        case .eventTime:
            if found <= 0 {
                text.append("is missing: say when the request ended, in microseconds since 1970")
            } else {
                writeRange(to: &text)
                text.append(
                    ": it is microseconds since 1970, at most five minutes ahead of the gateway's clock")
            }
        case .records:
            text.append("holds ")
            text.append(decimal: found)
            text.append(" records: a batch has 1 to ")
            text.append(decimal: expected)
        case .call:
            text.append("cannot be read: send a message of tollgate.v1 that this version knows")
        default:
            writeRange(to: &text)
        }
    }

    private func writeUnknownWord(to text: inout BytePacker) {
        text.append("is ")
        text.append(decimal: found)
        text.append(", which this version does not know: the highest known is ")
        text.append(decimal: expected)
    }

    private func writeTextFault(to text: inout BytePacker) {
        if expected == 0 {
            text.append("is not UTF-8 at byte ")
            text.append(decimal: found)
        } else if found == 0 {
            text.append("is missing: give 1 to ")
            text.append(decimal: expected)
            text.append(" bytes")
        } else {
            text.append("is ")
            text.append(decimal: found)
            text.append(" bytes long, at most ")
            text.append(decimal: expected)
            text.append(" are allowed")
        }
    }

    private func writeTokenFault(to text: inout BytePacker) {
        if expected == 0 {
            text.append("was not given for this: it was edited, or the quote was for another account, ")
            text.append("credential source, provider, model or service tier")
        } else if expected <= Int64(WireLimits.quoteTokenBytesMax) {
            return writeTextFault(to: &text)
        } else {
            text.append("is of a quote made after the request had ended")
        }
        text.append("; report the usage without it to be charged by the prices in force")
    }

    private func writeTagsFault(to text: inout BytePacker) {
        if expected == 0 {
            text.append("hold a key or value that is not UTF-8 at byte ")
            text.append(decimal: found)
        } else {
            text.append("are ")
            text.append(decimal: found)
            text.append(", over their limit of ")
            text.append(decimal: expected)
            text.append(": at most 16 tags, each with a key of 1 to 128 bytes and a value of at most 128")
        }
    }

    private func writeRange(to text: inout BytePacker) {
        text.append("is ")
        text.append(decimal: found)
        if found < 0 {
            text.append(", below 0")
        } else if expected != 0 {
            text.append(", the limit is ")
            text.append(decimal: expected)
        } else {
            text.append(", which is out of range")
        }
    }
}

extension BytePacker {
    mutating func append(_ literal: StaticString) {
        append(bytes: ByteView(literal))
    }

    mutating func append(decimal value: Int64) {
        if value < 0 { append(byte: UInt8(ascii: "-")) }
        append(digits: value.magnitude, atLeast: 1)
    }

    /// Nanocredits as credits: up to nine decimals, no zeros at the end.
    mutating func append(credits value: Int64) {
        if value < 0 { append(byte: UInt8(ascii: "-")) }
        let (whole, part) = value.magnitude.quotientAndRemainder(dividingBy: 1_000_000_000)
        append(digits: whole, atLeast: 1)
        guard part > 0 else { return }
        append(byte: UInt8(ascii: "."))
        var (shortest, places) = (part, 9)
        while shortest % 10 == 0 {
            shortest /= 10
            places -= 1
        }
        append(digits: shortest, atLeast: places)
    }

    /// A wait in its two largest units, rounded up: `3 d 4 h`, `2 min 10 s`.
    mutating func append(waitingMilliseconds value: Int64) {
        let units: [(seconds: Int64, name: StaticString)] = [
            (86_400, " d"), (3_600, " h"), (60, " min"), (1, " s"), (1, ""),
        ]
        func largest(_ seconds: Int64) -> Int { units.firstIndex { seconds >= $0.seconds } ?? 3 }
        var seconds = (max(1, value) - 1) / 1_000 + 1
        let smallest = units[largest(seconds) + 1].seconds
        seconds = ((seconds - 1) / smallest + 1) * smallest
        let first = largest(seconds)
        append(decimal: seconds / units[first].seconds)
        append(units[first].name)
        let rest = seconds % units[first].seconds / units[first + 1].seconds
        guard rest > 0 else { return }
        append(byte: UInt8(ascii: " "))
        append(decimal: rest)
        append(units[first + 1].name)
    }

    mutating func append(hexadecimal value: UInt64) {
        for shift in stride(from: 60, through: 0, by: -4) {
            let digit = UInt8((value >> UInt64(shift)) & 15)
            append(byte: digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
        }
    }

    private mutating func append(digits value: UInt64, atLeast places: Int) {
        var divisor: UInt64 = 1
        var count = 1
        while count < 20 && (count < places || value / divisor >= 10) {
            divisor *= 10
            count += 1
        }
        while divisor > 0 {
            append(byte: UInt8(ascii: "0") + UInt8(value / divisor % 10))
            divisor /= 10
        }
    }
}
