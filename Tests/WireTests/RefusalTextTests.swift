// Every refusal has words, and they say what to do.

import Bytes
import Pricing
import Testing

@testable import Wire

@Suite("the words of refusals")
struct RefusalTextTests {
    @Test("every reason has a sentence with advice, alone and on every field", arguments: Reason.allCases)
    func everyReason(reason: Reason) {
        for field in RecordField.allCases {
            for (found, expected) in [(0, 0), (5, 3), (-1, 1), (.min, .max), (.max, .min)] as [(Int64, Int64)]
            {
                let refusal = Refusal(reason, field: field, found: found, expected: expected)
                #expect(refusal.message.count > 10)
                #expect(refusal.message.count < 400)
                #expect(refusal.figures.count <= 2)
            }
        }
    }

    @Test(
        "money is told in credits, without zeros at the end",
        arguments: [
            (0, "0"), (1, "0.000000001"), (1_000_000_000, "1"), (12_500_000_000, "12.5"),
            (-50_000_000, "-0.05"),
            (.max, "9223372036.854775807"), (.min, "-9223372036.854775808"),
        ] as [(Int64, String)])
    func credits(nanocredits: Int64, text: String) {
        var packer = BytePacker()
        packer.append(credits: nanocredits)
        #expect(packer.view.text == text)
    }

    @Test("figures are written exactly")
    func figures() {
        #expect(RefusalFigure.decimal(.min).text == "-9223372036854775808")
        #expect(RefusalFigure.decimal(0).text == "0")
        #expect(RefusalFigure.digest(0xdead_beef_0000_0001).text == "deadbeef00000001")
    }

    @Test("a sentence names what was found and what is allowed")
    func samples() {
        #expect(
            Refusal(.insufficientCredits, found: 30_000_000_000, expected: 1_500_000_000).message
                == "this needs 30 credits, and 1.5 are available: grant credits, or ask for less")
        #expect(
            Refusal(.invalidArgument, field: .model, found: 200, expected: 128).message
                == "model is 200 bytes long, at most 128 are allowed")
        #expect(
            Refusal(.invalidArgument, field: .requestID, found: 0, expected: 128).message
                == "request_id is missing: give 1 to 128 bytes")
        let which = "; the account's budgets, with those above it, say which it is"
        #expect(
            Refusal(.budgetExceeded, field: .costBudget, found: 25_000_000_000, expected: 7_200_000).message
                == "this would go above a hard budget of 25 credits for its window: it opens again in 2 h, or raise"
                + " the budget" + which)
        #expect(
            Refusal(.budgetExceeded, field: .tokenBudget, found: 1_000).message
                == "this would go above a hard budget of 1000 tokens, which does not begin again: raise the budget"
                + which)
        #expect(
            Refusal(.budgetExceeded, field: .requestBudget, found: 9, expected: 1_000).message.contains(
                " of 9 requests for its window"))
        #expect(
            Refusal(.invalidUsage, field: .cacheReadTokens, found: 10, expected: 5).message.hasPrefix(
                "cache_read_tokens is 10, more than the whole it is part of, 5"))
    }

    @Test("waiting is advised where it helps, and only there")
    func retry() {
        #expect(Refusal(.overloaded).retryAfterMilliseconds == 100)
        #expect(Refusal(.overloaded, expected: 40).retryAfterMilliseconds == 40)
        #expect(Refusal(.budgetExceeded, found: 1, expected: 60_000).retryAfterMilliseconds == 60_000)
        #expect(Refusal(.budgetExceeded, expected: .max).retryAfterMilliseconds == .max)
        #expect(Refusal(.diskFull).retryAfterMilliseconds == 5_000)
        #expect(Refusal(.insufficientCredits, found: 9, expected: 8).retryAfterMilliseconds == 0)
        #expect(Refusal(.invalidArgument, field: .model, expected: 7).retryAfterMilliseconds == 0)
    }

    @Test(
        "a wait is told in its two largest units, and never too short",
        arguments: [
            (0, "1 s"), (1, "1 s"), (1_000, "1 s"), (1_001, "2 s"), (59_999, "1 min"), (60_001, "1 min 1 s"),
            (7_200_000, "2 h"), (7_260_000, "2 h 1 min"), (86_399_000, "1 d"),
            (7_261_000, "2 h 2 min"), (2_678_400_000, "31 d"), (2_500_000_000, "28 d 23 h"),
            (.max, "106751991167 d 8 h"),
        ] as [(Int64, String)])
    func waits(milliseconds: Int64, text: String) {
        var packer = BytePacker()
        packer.append(waitingMilliseconds: milliseconds)
        #expect(packer.view.text == text)
    }

    @Test("errors of the wire have words and a refusal")
    func wireErrors() {
        let errors: [WireError] = [
            .flag(found: 22), .length(found: 0, limit: 9), .malformed(messageBytes: 3),
            .excessive(messageBytes: 3, arenaBytesMax: 4),
        ]
        for error in errors {
            #expect(error.message.count > 20)
            #expect(error.refusal.reason == .invalidArgument)
        }
    }
}
