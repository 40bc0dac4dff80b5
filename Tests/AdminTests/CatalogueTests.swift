// Prices over HTTP: a list is staged, compared, approved and read; what is wrong says where.

import StrictJSON
import Testing

@testable import Admin

struct CatalogueRouteTests {
    private static let path = "/api/v1/pricing/catalogue"
    private static let list =
        #"{"gpt-4o":{"litellm_provider":"openai","input_cost_per_token":5e-06,"output_cost_per_token":0.0}}"#

    @Test("import, look, approve, go back: each answer says what it did, and quotes follow")
    func round() async throws {
        try await Served.run { served in
            let staged = try await served.post(Self.path + "/import?by=ada&keep_missing=true", Self.list)
            #expect(staged.status == 200, "\(staged.text)")
            #expect(try staged.at("version") == 2 && staged.at("state") == "draft")
            #expect(try staged.at("import", "entries") == 1 && staged.at("import", "priced_partly") == 1)
            #expect(try staged.at("import", "findings", "0", "kind") == "zero")
            #expect(try staged.at("removed") == 0 && staged.at("changed") == 1)
            guard case .string(let digest) = try staged.at("digest") else {
                Issue.record("no digest: \(staged.text)")
                return
            }
            #expect(digest.count == 64)

            let diff = try await served.get(Self.path + "/diff?after=2")
            #expect(try diff.at("changed", "0", "model") == "gpt-4o")
            let again = try await served.post(Self.path + "/import?by=eve&keep_missing=true", Self.list)
            #expect(try again.at("duplicate") == true && again.at("version") == 2)

            let approved = try await served.post(
                Self.path + "/approve",
                #"{"version":2,"by":"bob","digest":"\#(digest.prefix(8))","replacing":1}"#)
            #expect(
                try approved.at("replaced") == 1 && approved.at("state") == "in_force", "\(approved.text)")
            #expect(served.gateway.priceBook.catalogueVersion == 2)
            let shown = try await served.get(Self.path + "/models?model=GPT-4o&provider=openai")
            #expect(try shown.at("models", "0", "match") == "exact")
            #expect(try shown.at("models", "0", "model", "prices", "0", "rates", "input") == "5")
            #expect(try shown.at("models", "0", "model", "prices", "0", "rates", "output") == .null)

            #expect(try await served.post(Self.path + "/approve", #"{"version":1,"by":"bob"}"#).status == 200)
            let versions = try await served.get(Self.path + "/versions")
            #expect(try versions.at("total") == 2)
            #expect(try versions.at("versions", "1", "imported_by") == "ada")
            #expect(try versions.at("versions", "1", "state") == "replaced")
            #expect(try versions.at("activations", "1", "approved_by") == "bob")
            #expect(try versions.at("activations", "1", "until") == versions.at("activations", "2", "from"))
            let one = try await served.get(Self.path + "/versions/2")
            #expect(try one.at("import", "findings_count") == 1)
            #expect(try await served.get(Self.path + "/versions/live").at("version") == 1)

            // What is exported can be imported again and is the same.
            let file = try await served.get(Self.path + "/file?version=2")
            let back = try await served.post(Self.path + "/import?by=ada", file.text)
            #expect(try back.at("version") == 2 && back.at("duplicate") == true)
        }
    }

    @Test("what is wrong is refused with its place, and changes nothing")
    func refused() async throws {
        try await Served.run { served in
            let good = #""ok":{"litellm_provider":"openai","input_cost_per_token":1e-6}"#
            let bad = #"{\#(good),"# + "\n" + #""m":{"litellm_provider":"openai","input_cost_per_token":-1}}"#
            let refused = try await served.post(Self.path + "/import?by=ada", bad)
            #expect(try refused.status == 422 && refused.code == "INVALID_CATALOGUE")
            #expect(try refused.message.contains("line 2, m, input_cost_per_token: -1 stands for"))
            #expect(try refused.at("error", "metadata", "findings", "0", "line") == 2)
            let without = try await served.post(Self.path + "/import?by=ada&skip_invalid=true", bad)
            #expect(try without.at("import", "not_priced") == 1 && without.at("version") == 2)

            let broken = try await served.post(Self.path + "/import?by=ada", "{\"a\":{},\n\"a\":{}}")
            #expect(try broken.status == 422 && broken.message.contains("line 2, column 1"))
            for (target, code) in [
                ("/import", "INVALID_ARGUMENT"), ("/import?by=ada&format=xml", "INVALID_ARGUMENT"),
                ("/import?by=ada&zero_is_free=yes", "INVALID_ARGUMENT"),
                ("/import?by=ada&effective_from=soon", "INVALID_ARGUMENT"),
                ("/import?by=ada&wonder=1", "INVALID_ARGUMENT"),
            ] {
                let answer = try await served.post(Self.path + target, "{\(good)}")
                #expect(try answer.status == 400 && answer.code == code, "\(target): \(answer.text)")
            }
            for (body, status, code) in [
                (#"{"version":9,"by":"ada"}"#, 404, "CATALOGUE_NOT_FOUND"),
                (#"{"version":2,"by":"ada","digest":"zz"}"#, 409, "CATALOGUE_CHANGED"),
                (#"{"version":2,"by":"ada","replacing":2}"#, 409, "CATALOGUE_CHANGED"),
                (#"{"version":1,"by":"ada"}"#, 409, "CATALOGUE_CHANGED"),
                (#"{"version":2}"#, 400, "INVALID_ARGUMENT"),
                (#"{"version":0,"by":"ada"}"#, 400, "INVALID_ARGUMENT"),
                (#"{"version":2,"by":""}"#, 400, "INVALID_ARGUMENT"),
            ] {
                let answer = try await served.post(Self.path + "/approve", body)
                #expect(try answer.status == status && answer.code == code, "\(body): \(answer.text)")
            }
            for (target, code) in [
                ("/versions/7", "CATALOGUE_NOT_FOUND"), ("/file?version=7", "CATALOGUE_NOT_FOUND"),
                ("/models?model=nothing-like-it", "MODEL_NOT_FOUND"), ("/diff?after=x", "INVALID_ARGUMENT"),
                ("/models", "INVALID_ARGUMENT"), ("/versions/zero", "INVALID_ARGUMENT"),
            ] {
                let answer = try await served.get(Self.path + target)
                #expect(try answer.code == code, "\(target): \(answer.text)")
            }
            #expect(served.gateway.priceBook.catalogueVersion == 1)
        }
    }

    @Test("a list longer than its bound is refused by its length, before a byte of it is kept")
    func tooLong() async throws {
        try await Served.run { served in
            let request =
                "POST \(Self.path)/import?by=ada HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
                + "Content-Type: application/json\r\nContent-Length: 104857600\r\n\r\n{"
            var answer: Answer
            do {
                answer = try await served.raw(request)
            } catch is Answer.Malformed {
                // A machine that is busy for seconds lets the connection's time run out before it is answered.
                answer = try await served.raw(request)
            }
            #expect(try answer.status == 413 && answer.code == "PAYLOAD_TOO_LARGE")
            #expect(try answer.at("error", "metadata", "limit") == 67_108_864)
        }
    }
}
