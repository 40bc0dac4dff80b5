// The binary itself: exit codes that scripts can trust, and one round through a gateway of its own.
// Method: the built `tollgate` beside the test bundle, on temporary directories and ports of the system's choice.

import Foundation
import GRDB
import StrictJSON
import Testing

@testable import tollgate

private struct Outcome {
    var code: Int32
    var output: String
    var errors: String
}

private enum Binary {
    static let path: String = {
        let tests = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        return tests.deletingLastPathComponent().appendingPathComponent("tollgate").path
    }()

    /// Runs the binary to its end. What it prints is small, so the pipes hold it.
    static func run(_ arguments: [String], environment: [String: String] = [:]) throws -> Outcome {
        let (process, output, errors) = start(arguments, environment: environment)
        try process.run()
        // Nothing here takes long: what does not end by itself is ended, and fails by its exit code.
        let watch = DispatchWorkItem { process.terminate() }
        DispatchQueue.global().asyncAfter(deadline: .now() + 60, execute: watch)
        defer { watch.cancel() }
        let out = output.fileHandleForReading.readDataToEndOfFile()
        let err = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return Outcome(
            code: process.terminationStatus, output: String(decoding: out, as: UTF8.self),
            errors: String(decoding: err, as: UTF8.self))
    }

    static func start(
        _ arguments: [String], environment: [String: String] = [:]
    ) -> (process: Process, output: Foundation.Pipe, errors: Foundation.Pipe) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        process.environment = ["PATH": "/usr/bin:/bin"].merging(environment) { _, new in new }
        let (output, errors) = (Foundation.Pipe(), Foundation.Pipe())
        process.standardOutput = output
        process.standardError = errors
        return (process, output, errors)
    }
}

/// A directory that goes when the test does.
private final class TemporaryDirectory {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appendingPathComponent("tollgate-test-\(UUID())").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        do {
            try FileManager.default.removeItem(atPath: path)
        } catch {
            Issue.record("\(path) could not be removed: \(error)")
        }
    }
}

@Suite("The binary")
struct ProcessTests {
    @Test("version says its version, for people and for programs")
    func version() throws {
        let text = try Binary.run(["version"])
        #expect(text.code == 0)
        #expect(text.output == "tollgate \(ProductVersion.text)\n")
        let json = try Binary.run(["version", "--output", "json"])
        #expect(
            try JSONNode(parsing: Array(json.output.utf8)).field("version").string() == ProductVersion.text)
    }

    @Test("wrong usage is exit code 2, with help on standard error")
    func usage() throws {
        for arguments in [["nonsense"], ["report", "--inptu-tokens", "1"], ["verify"], ["quote"]] {
            let outcome = try Binary.run(arguments)
            #expect(outcome.code == 2, "\(arguments)")
            #expect(outcome.output.isEmpty)
            #expect(!outcome.errors.isEmpty)
        }
        #expect(try Binary.run(["report", "--help"]).code == 0)
    }

    @Test("a typo in a configuration is exit code 2, and names key, line and the right one")
    func typo() throws {
        let directory = try TemporaryDirectory()
        let file = directory.path + "/tollgate.yaml"
        try "data_directory: \(directory.path)/data\nlisten:\n  prot: 4770\n".write(
            toFile: file, atomically: true, encoding: .utf8)
        for command in ["check-config", "serve"] {
            let outcome = try Binary.run([command, "--config", file])
            #expect(outcome.code == 2)
            #expect(
                outcome.errors.contains(
                    "\(file), line 3: `listen.prot` is not a setting; did you mean `listen.port`?"))
        }
        let good = try Binary.run(
            ["check-config", "-d", "/x"], environment: ["TOLLGATE_LISTEN_PORT": "5000"])
        #expect(good.code == 0)
        #expect(good.output.contains("environment, TOLLGATE_LISTEN_PORT"))
    }

    @Test("a data directory in a directory that is not there is exit code 2, and says what to make")
    func noParent() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/missing/data"
        let outcome = try Binary.run(
            ["serve", "-d", path, "--set", "listen.port=0", "--set", "admin.port=0"])
        #expect(outcome.code == 2)
        #expect(
            outcome.errors.contains("\(path) cannot be made") && outcome.errors.contains("make that first"))
    }

    @Test("offline commands on what is no data directory are exit code 2 and make nothing")
    func noDirectory() throws {
        let directory = try TemporaryDirectory()
        for arguments in [["verify"], ["inspect", "checkpoint"], ["inspect", "journal"]] {
            for path in [directory.path, directory.path + "/missing"] {
                let outcome = try Binary.run(arguments + [path])
                #expect(outcome.code == 2, "\(arguments) \(path)")
                #expect(outcome.errors.contains(path))
            }
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).isEmpty)
    }

    @Test("without a gateway the commands that need one are exit code 2 and say where they looked")
    func noGateway() throws {
        let admin = try Binary.run(["status", "--admin-port", "1"])
        #expect(admin.code == 2)
        #expect(admin.errors.contains("127.0.0.1:1"))
        let frames = try Binary.run(["balance", "acme", "--port", "1", "--timeout", "1"])
        #expect(frames.code == 2)
        #expect(frames.errors.contains("127.0.0.1:1"))
    }

    /// A price list from a file into force, and back.
    private static func catalogue(
        _ directory: String, _ run: (Int32, [String], Bool) throws -> String
    ) throws {
        let list = directory + "/list.json"
        try #"{"gpt-4o":{"litellm_provider":"openai","input_cost_per_token":5e-6}}"#
            .write(toFile: list, atomically: true, encoding: .utf8)
        let bad = directory + "/bad.json"
        try #"{"m":{"litellm_provider":"openai","input_cost_per_token":-1}}"#
            .write(toFile: bad, atomically: true, encoding: .utf8)
        let file = directory + "/export.json"
        func catalog(_ code: Int32, _ arguments: [String]) throws -> String {
            try run(code, ["catalog"] + arguments, false)
        }
        _ = try catalog(1, ["diff"])
        _ = try catalog(1, ["import", bad, "--by", "ada"])
        #expect(
            try catalog(0, ["import", list, "--keep-missing", "--by", "ada"]).contains("\"state\": \"draft\"")
        )
        #expect(try catalog(1, ["diff"]).contains("\"after\": \"5\""))
        _ = try catalog(1, ["approve", "2", "--by", "ada", "--digest", "zz"])
        _ = try catalog(0, ["approve", "2", "--by", "ada", "--replacing", "1"])
        #expect(try catalog(0, ["show", "gpt-4o", "--provider", "openai"]).contains("\"input\": \"5\""))
        _ = try catalog(1, ["show", "nothing-like-it"])
        #expect(try catalog(0, ["history"]).contains("\"approved_by\": \"ada\""))
        _ = try catalog(0, ["export", "live", "--file", file])
        _ = try catalog(0, ["diff", "live", file])
        _ = try catalog(1, ["diff", "1", "live"])
        _ = try catalog(0, ["approve", "1", "--by", "ada"])
    }

    /// A budget is set, refuses a hold and is removed; what became of holds is shown to who asks.
    private static func budgets(_ run: (Int32, [String], Bool) throws -> String) throws {
        let set = ["budgets", "set", "acme", "daily", "--window", "day", "--metric", "cost", "--hard"]
        #expect(try run(0, set + ["--limit", "500", "--by", "ada"], false).contains("\"limit\": \"500.00\""))
        _ = try run(1, set + ["--limit=-25"], false)
        _ = try run(
            2, ["budgets", "set", "acme", "n", "--window", "day", "--metric", "tokens", "--limit", "1.5"],
            false)
        let hold = ["holds", "open", "h-1", "--account", "acme", "--source", "platform", "--amount"]
        _ = try run(1, hold + ["500.1"], true)
        _ = try run(2, hold + ["20", "--orphan-policy", "all"], true)
        _ = try run(1, hold + ["20", "--orphan-policy", "estimate"], true)
        #expect(
            try run(0, hold + ["20", "--orphan-policy", "full_hold"], true)
                .contains("\"orphan_charge\": \"20\""))
        #expect(try run(0, ["budgets", "list", "acme"], false).contains("\"held\": \"20.00\""))
        _ = try run(0, ["holds", "void", "h-1", "--account", "acme"], true)
        _ = try run(0, ["budgets", "remove", "acme", "daily"], false)
        _ = try run(1, ["budgets", "remove", "acme", "daily"], false)
        #expect(try !run(0, ["budgets", "list", "acme"], false).contains("daily"))
        #expect(try !run(0, ["transactions", "acme"], false).contains("hold_"))
        #expect(try run(0, ["transactions", "acme", "--holds"], false).contains("hold_voided"))
    }

    /// Rules to a file and back, a draft that is tried, one that counts, and one that is applied.
    private static func rules(
        _ directory: String, _ run: (Int32, [String], Bool) throws -> String
    ) throws {
        func rules(_ code: Int32, _ arguments: [String]) throws -> String {
            try run(code, ["rules"] + arguments, false)
        }
        let (file, draft) = (directory + "/rules.json", directory + "/draft.yaml")
        try rules(0, ["list"]).write(toFile: file, atomically: true, encoding: .utf8)
        #expect(try rules(0, ["diff", file]).contains("\"changed\": 0"))
        #expect(try rules(0, ["apply", file, "--by", "ada"]).contains("\"changed\": 0"))
        try "- tier_code: professional\n  markup_value: 1.50\n- provider: openrouter\n  markup_value: 0.03\n"
            .write(toFile: draft, atomically: true, encoding: .utf8)
        #expect(try rules(1, ["diff", draft]).contains("\"changed\": 2"))
        #expect(try run(0, ["simulate", "--rules", draft], false).contains("\"state\": \"finished\""))
        _ = try run(0, ["shadow", "start", "--rules", draft, "--by", "ada"], false)
        #expect(try run(0, ["shadow", "show"], false).contains("\"counting\": true"))
        _ = try run(0, ["shadow", "stop", "--by", "ada"], false)
        _ = try run(1, ["shadow", "show"], false)
        #expect(try rules(0, ["apply", draft, "--by", "ada"]).contains("\"changed\": 2"))
        #expect(try rules(0, ["apply", draft, "--by", "ada"]).contains("\"changed\": 0"))
        #expect(try rules(0, ["get", "professional"]).contains("\"markup_value\": \"1.50\""))
        _ = try rules(1, ["get", "profesional"])
        _ = try rules(2, ["apply", directory + "/missing.yaml", "--by", "ada"])
        _ = try rules(1, ["schedule", "professional", "--set", "markup_value=0.7", "--by", "ada"])
        _ = try rules(2, ["schedule", "professional", "--set", "markup_value", "--by", "ada"])
        #expect(
            try rules(0, ["schedule", "professional", "--set", "markup_value=1.6", "--by", "ada"])
                .contains("\"postponed\": true"))
        _ = try rules(0, ["withdraw", "professional", "9", "--by", "ada"])
        _ = try rules(0, ["deactivate", "rule_huggingface", "--by", "ada"])
        _ = try rules(0, ["reactivate", "rule_huggingface", "--by", "ada"])
        #expect(try rules(0, ["history", "professional"]).contains("\"withdrawn\""))
        #expect(try rules(0, ["audit", "rule_huggingface"]).contains("\"rule.reactivate\""))
    }

    @Test("price lists offline: imported to a file, looked at, compared, refused with place and reason")
    func catalogueFiles() throws {
        let directory = try TemporaryDirectory()
        func write(_ name: String, _ text: String) throws -> String {
            try text.write(toFile: directory.path + name, atomically: true, encoding: .utf8)
            return directory.path + name
        }
        let list = try write(
            "/list.json",
            """
            {"a":{"litellm_provider":"openai","input_cost_per_token":1e-6,"output_cost_per_token":0.0},
             "openai/b":{"litellm_provider":"openai","input_cost_per_token":3e-6,"cache_read_input_token_cost":9e-6}}
            """)
        let out = directory.path + "/out.json"
        let imported = try Binary.run(["catalog", "import", list, "--output", out])
        #expect(imported.code == 0, "\(imported.errors)")
        #expect(
            imported.output.contains("2 entries of a litellm list: 1 priced fully, 1 partly, 0 not at all"))
        let free = directory.path + "/free.json"
        #expect(try Binary.run(["catalog", "import", list, "--zero-is-free", "--output", free]).code == 0)
        // What was written is read, compared and written again without a change.
        let again = directory.path + "/again.json"
        #expect(try Binary.run(["catalog", "import", out, "--output", again]).code == 0)
        let bytes = try Data(contentsOf: URL(fileURLWithPath: out))
        #expect(try Data(contentsOf: URL(fileURLWithPath: again)) == bytes)
        #expect(try Binary.run(["catalog", "diff", out, again]).code == 0)
        let diff = try Binary.run(["catalog", "diff", out, free])
        #expect(diff.code == 1 && diff.output.contains("output: withheld → 0 USD per million"))
        let lint = try Binary.run(["catalog", "lint", out])
        #expect(lint.code == 1 && lint.output.contains("cache_read_dearer_than_input: openai b"))
        let shown = try Binary.run(["catalog", "show", "openai/b", "--in", out])
        #expect(shown.code == 0 && shown.output.contains("openai b"))

        let bad = try write("/bad.json", "{\n\"m\":{\"litellm_provider\":\"x\",\"input_cost_per_token\":-2}}")
        let kept = try Binary.run(["catalog", "import", bad, "--output", out])
        #expect(kept.code == 1 && kept.errors.contains("line 2, m, input_cost_per_token: -2 is negative"))
        #expect(try Data(contentsOf: URL(fileURLWithPath: out)) == bytes)
        let long = directory.path + "/long.json"
        #expect(FileManager.default.createFile(atPath: long, contents: nil))
        let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: long))
        try handle.truncate(atOffset: 100 << 20)
        try handle.close()
        let refused = try Binary.run(["catalog", "import", long, "--output", again])
        #expect(refused.code == 2 && refused.errors.contains("more than 64 MiB"))
        #expect(try Binary.run(["catalog", "lint"]).code == 2)
        #expect(try Binary.run(["catalog", "diff", list]).code == 2)
    }

    @Test("a round through a gateway: open, report, repeat, explain, stop, verify")
    func round() throws {
        let directory = try TemporaryDirectory()
        let data = directory.path + "/data"
        let (server, output, errors) = Binary.start([
            "serve", "-d", data, "--set", "listen.port=0", "--set", "admin.port=0", "--set",
            "journal.segment_bytes=1 MiB", "--output", "json", "--set", "log.level=error",
        ])
        try server.run()
        defer { if server.isRunning { server.terminate() } }
        let line = output.fileHandleForReading.availableData
        guard !line.isEmpty else {
            Issue.record(
                "no start: \(String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self))"
            )
            return
        }
        let ready = try JSONNode(parsing: Array(line))
        let port = "\(try ready.field("listen_port").integer(in: 1...65_535))"
        let adminPort = "\(try ready.field("admin_port").integer(in: 1...65_535))"
        func run(_ code: Int32, _ arguments: [String], isFrames: Bool = false) throws -> String {
            let outcome = try Binary.run(
                arguments + ["--output", "json"]
                    + (isFrames ? ["--port", port] : ["--admin-port", adminPort]))
            #expect(outcome.code == code, "\(arguments): \(outcome.output)\(outcome.errors)")
            return outcome.output
        }

        _ = try run(0, ["accounts", "open", "acme", "--tier", "professional", "--credits", "1000"])
        _ = try run(1, ["accounts", "open", "a b", "--tier", "professional"])
        let record = [
            "--account", "acme", "--source", "platform", "--provider", "openai", "--model", "gpt-4o",
            "--input-tokens", "10000", "--event-time", "2026-11-01T00:00:00Z",
        ]
        let whole = try run(0, ["quote"] + record, isFrames: true)
        let brief = try run(0, ["quote", "--brief"] + record, isFrames: true)
        #expect(whole.contains("\"rate_usd\"") && whole.contains("\"charge\": \"45\""))
        #expect(!brief.contains("\"rate_usd\"") && brief.contains("\"charge\": \"45\""))
        let first = try run(0, ["report", "--request-id", "r-1"] + record, isFrames: true)
        // gpt-4o at 2.5 USD per million: 25 credits × 1.8, the override for openai.
        #expect(first.contains("\"charge\": \"45\""))
        let again = try run(0, ["report", "--request-id", "r-1"] + record, isFrames: true)
        #expect(again.contains("\"duplicate\": true"))
        _ = try run(1, ["report", "--request-id", "r-1", "--output-tokens", "1"] + record, isFrames: true)
        _ = try run(1, ["balance", "nobody"], isFrames: true)
        #expect(try run(0, ["balance", "acme"], isFrames: true).contains("\"balance\": \"955\""))
        #expect(try run(0, ["explain", "r-1"]).contains("\"agrees\": true"))
        _ = try run(1, ["explain", "r-2"])
        _ = try run(
            0, ["credits", "allocate", "acme", "5", "--source", "promo_test", "--idempotency-key", "k"])
        #expect(
            try run(
                0, ["credits", "allocate", "acme", "5", "--source", "promo_test", "--idempotency-key", "k"]
            )
            .contains("\"duplicate\": true"))
        _ = try run(0, ["transactions", "acme"])
        try Self.budgets { try run($0, $1, isFrames: $2) }
        _ = try run(0, ["rules", "list"])
        try Self.catalogue(directory.path) { try run($0, $1, isFrames: $2) }
        try Self.rules(directory.path) { try run($0, $1, isFrames: $2) }
        try Self.moves { try run($0, $1, isFrames: $2) }
        _ = try run(0, ["accounts", "set", "acme", "--status", "suspended", "--reason", "test"])
        _ = try run(0, ["accounts", "show", "acme"])
        _ = try run(0, ["status"])

        // A second process on the directory is refused, whatever it wants.
        #expect(try Binary.run(["verify", data]).code == 2)
        #expect(
            try Binary.run(["serve", "-d", data, "--set", "listen.port=0", "--set", "admin.port=0"]).code == 2
        )
        #expect(try Binary.run(["inspect", "journal", data]).code == 0)

        server.terminate()
        server.waitUntilExit()
        #expect(server.terminationStatus == 0)
        let verified = try Binary.run(["verify", data, "--output", "json"])
        #expect(verified.code == 0)
        #expect(verified.output.contains("\"agrees\": true"))
        #expect(try Binary.run(["inspect", "checkpoint", data]).code == 0)
        #expect(try Binary.run(["inspect", "journal", data, "--entries", "5", "--batches"]).code == 0)
        try expectDamageIsFound(data, directory.path)
    }

    /// An account that is moved is there, once for its key, and its old path leads there.
    private static func moves(_ run: (Int32, [String], Bool) throws -> String) throws {
        for path in ["acme/a", "acme/b"] { _ = try run(0, ["accounts", "open", path, "--no-wallet"], false) }
        let move = [
            "accounts", "move", "acme/a", "acme/b/a", "--reason", "new owner", "--by", "ada",
            "--idempotency-key", "m",
        ]
        for isAgain in [false, true] {
            let moved = try run(0, move, false)
            #expect(moved.contains("\"account\": \"acme/b/a\"") && moved.contains("\"wallet\": \"acme\""))
            #expect(moved.contains("\"duplicate\": \(isAgain)"), "\(moved)")
        }
        _ = try run(1, ["accounts", "move", "acme/b", "acme/b/a/b"], false)
        #expect(try run(0, ["accounts", "show", "acme/a"], false).contains("\"account\": \"acme/b/a\""))
        #expect(
            try run(0, ["credits", "audit", "--type", "account_moved"], false).contains(
                "\"from\": \"acme/a\""))
    }

    /// One flipped byte in a copy is exit code 1 and a place.
    private func expectDamageIsFound(_ data: String, _ scratch: String) throws {
        let segment = try #require(
            try FileManager.default.contentsOfDirectory(atPath: data + "/wal").filter { $0.hasSuffix(".seg") }
                .min())
        for (number, file) in ["ledger.db", "wal/\(segment)"].enumerated() {
            let copy = "\(scratch)/copy-\(number)"
            try FileManager.default.copyItem(atPath: data, toPath: copy)
            let url = URL(fileURLWithPath: "\(copy)/\(file)")
            var bytes = try Data(contentsOf: url)
            // The account's name: in its row of the checkpoint, in its opening entry of the journal.
            let name = try #require(bytes.range(of: Data("acme".utf8)), "\(file)")
            bytes[name.lowerBound] ^= 0x20
            try bytes.write(to: url)
            let outcome = try Binary.run(["verify", copy])
            #expect(outcome.code == 1, "\(file): \(outcome.output)\(outcome.errors)")
            #expect(outcome.output.contains("✗"))
        }
        // Where every checksum is right, the first entry that is concerned is named, for programs too.
        let copy = scratch + "/copy-sum"
        try FileManager.default.copyItem(atPath: data, toPath: copy)
        let queue = try DatabaseQueue(path: copy + "/history.db")
        try queue.writeWithoutTransaction {
            try $0.execute(sql: "UPDATE rollups SET charge_nanocredits = charge_nanocredits + 1")
        }
        try queue.close()
        let outcome = try Binary.run(["verify", copy, "--output", "json"])
        #expect(outcome.code == 1, "\(outcome.output)\(outcome.errors)")
        let entry = try JSONNode(parsing: Array(outcome.output.utf8)).field("entry")
        #expect(try entry.field("kind").string() == "deducted" && entry.field("account").string() == "acme")
        #expect(try entry.field("lsn").integer(in: 1...1_000) > 0)
    }
}
