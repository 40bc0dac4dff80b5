// A configuration says what it means, or which key of which line it does not understand.
// Method: small files and environments, and what becomes of them.

import Testing

@testable import tollgate

private func configuration(
    _ text: String? = "data_directory: /data", environment: [String: String] = [:],
    options: [(key: String, value: String)] = []
) throws(ConfigurationError) -> Configuration {
    try Configuration(
        file: text.map { .init(path: "tollgate.yaml", text: $0) }, environment: environment, options: options,
        cores: 4)
}

private func problems(
    _ text: String? = "data_directory: /data", environment: [String: String] = [:],
    options: [(key: String, value: String)] = []
) -> [String] {
    do throws(ConfigurationError) {
        _ = try configuration(text, environment: environment, options: options)
        return []
    } catch {
        return error.problems
    }
}

@Suite("Configuration")
struct ConfigurationTests {
    @Test("a file with nothing but the data directory takes the defaults")
    func defaults() throws {
        let found = try configuration()
        #expect(found.settings.gateway.dataDirectory == "/data")
        #expect(found.settings.transport.host == "127.0.0.1")
        #expect(found.settings.transport.port == 4770)
        #expect(found.settings.transport.eventLoops == 3)
        #expect(found.settings.adminPort == 4771)
        let origins = Setting.all.map { found.origin(of: $0) }
        #expect(origins.count { $0 == .standard } == Setting.all.count - 1)
    }

    @Test("the environment overrides the file, options override both, and each value says where it is from")
    func precedence() throws {
        let text = """
            data_directory: /data
            listen:
              port: 5000
            admin:
              port: 5001
            journal:
              segment_bytes: 1 MiB
            """
        let found = try configuration(
            text, environment: ["TOLLGATE_ADMIN_PORT": "6001", "TOLLGATE_LISTEN_PORT": "6000"],
            options: [("listen.port", "7000")])
        #expect(found.settings.transport.port == 7000)
        #expect(found.settings.adminPort == 6001)
        #expect(found.settings.gateway.segmentBytes == 1 << 20)
        let origins = try ["listen.port", "admin.port", "journal.segment_bytes"].map { key in
            found.origin(of: try #require(Setting.named(key)))
        }
        #expect(
            origins == [
                .option, .environment(variable: "TOLLGATE_ADMIN_PORT"), .file(path: "tollgate.yaml", line: 7),
            ])
    }

    @Test(
        "an unknown key is named with its line and the key that was probably meant",
        arguments: [
            (
                "data_directory: /d\nlisten:\n  prot: 1",
                "tollgate.yaml, line 3: `listen.prot` is not a setting; did you mean `listen.port`?"
            ),
            (
                "data_directory: /d\nlog_level: debug",
                "tollgate.yaml, line 2: `log_level` is not a setting; did you mean `log.level`?"
            ),
            (
                "data_directory: /d\nsegment_bytes: 1 MiB",
                "tollgate.yaml, line 2: `segment_bytes` is not a setting; did you mean `journal.segment_bytes`?"
            ),
            (
                "data_directory: /d\nlisten: 4770",
                "tollgate.yaml, line 2: `listen` is a section: put host, port below it, indented"
            ),
            (
                "data_directory: /d\nlisten:\n  port: [1, 2]",
                "tollgate.yaml, line 3: `listen.port` takes one value, not a list or a section"
            ),
        ])
    func unknownKey(text: String, problem: String) {
        #expect(problems(text) == [problem])
    }

    @Test("every problem is told at once")
    func allProblems() {
        let found = problems("listen:\n  port: 70000\nadmin:\n  prt: 1")
        #expect(found.count == 3)
        #expect(
            found[0].contains(
                "listen.port is `70000` (tollgate.yaml, line 2): it must be a whole number from 0 to 65 535"))
        #expect(found[1].contains("admin.prt"))
        #expect(found[2].contains("data_directory is missing"))
    }

    @Test(
        "addresses that others reach are refused, and it says why",
        arguments: ["0.0.0.0", "10.0.0.1", "::", "example.com", "127.0.0.1.evil.com", ""])
    func openAddress(host: String) {
        let found = problems("data_directory: /d\nlisten:\n  host: \"\(host)\"")
        #expect(found.count == 1)
        #expect(found.first?.contains("keys and TLS are not there yet") == true)
    }

    @Test("loopback addresses are taken", arguments: ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
    func loopback(host: String) throws {
        #expect(
            try configuration("data_directory: /d\nadmin:\n  host: \"\(host)\"").settings.adminHost == host)
    }

    @Test("a variable that is no setting is an error, unless Kubernetes set it")
    func environment() {
        #expect(
            problems(environment: ["TOLLGATE_LISTEN_PROT": "1"])
                == [
                    "environment variable TOLLGATE_LISTEN_PROT: there is no such setting; did you mean `TOLLGATE_LISTEN_PORT`?"
                ])
        #expect(
            problems(environment: [
                "TOLLGATE_PORT": "tcp://10.0.0.1:4770", "TOLLGATE_PORT_4770_TCP": "x",
                "TOLLGATE_SERVICE_HOST": "10.0.0.1",
            ]).isEmpty)
    }

    @Test("${NAME} takes a value from the environment, and a missing one is named")
    func references() throws {
        let found = try configuration("data_directory: ${BASE}/data", environment: ["BASE": "/srv"])
        #expect(found.settings.gateway.dataDirectory == "/srv/data")
        #expect(
            problems("data_directory: /d\nlog:\n  level: ${LEVEL}")
                == ["tollgate.yaml, line 3: the environment variable LEVEL is not set"])
        #expect(problems("data_directory: /d${").first?.contains("has `${` without `}`") == true)
    }

    @Test("the worth of a credit is exact decimal text")
    func creditValue() throws {
        let found = try configuration("data_directory: /d\ncredit_value_usd: 0.01")
        #expect(found.settings.gateway.creditValue.picodollarsPerCredit == 10_000_000_000)
        for text in ["0", "1e-3", "-1", "free", "1001", "0.0000000000001"] {
            #expect(problems("data_directory: /d\ncredit_value_usd: \"\(text)\"").count == 1, "\(text)")
        }
    }

    @Test(
        "a segment is a multiple of a block within its bounds",
        arguments: ["1", "64KiB", "65537", "2 GiB", "64 MB", "-1"])
    func segmentBytes(text: String) {
        #expect(problems(options: [("journal.segment_bytes", text)]).isEmpty == (text == "64KiB"))
    }

    @Test("what is not a configuration is refused with its place")
    func notYAML() {
        #expect(problems("data_directory: [").first?.hasPrefix("tollgate.yaml is not YAML") == true)
        #expect(problems("- a\n- b").first?.contains("list of `key: value`") == true)
        #expect(problems("data_directory: /a\ndata_directory: /b").first?.contains("data_directory") == true)
        #expect(problems("").first?.contains("data_directory is missing") == true)
    }

    @Test("shown values are read back as they are")
    func showAndRead() throws {
        let found = try configuration()
        for setting in Setting.all {
            var copy = found.settings
            try setting.read(setting.show(found.settings), &copy)
            #expect(setting.show(copy) == setting.show(found.settings), "\(setting.key)")
        }
        #expect(Set(Setting.all.map(\.variable)).count == Setting.all.count)
    }
}
