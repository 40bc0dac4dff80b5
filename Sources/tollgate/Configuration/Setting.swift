// The settings of a gateway: each with its key, its bounds, and how it is read and shown.
//
// One table (`Setting.all`) is the truth for the file, the environment, the options, `check-config` and the
// error messages; adding a setting is adding a line.

import Gateway
import Ledger
import Logging
import Money
import Transport

/// Everything that `serve` needs to know.
struct ServerSettings: Sendable {
    var gateway = GatewaySettings(dataDirectory: "")
    var transport: TransportSettings
    var adminHost = "127.0.0.1"
    var adminPort = 4771
    var logLevel = Logger.Level.info

    /// The defaults on a machine with so many cores.
    init(cores: Int) {
        transport = TransportSettings(eventLoops: max(1, cores - 1))
    }
}

/// Why a value cannot be used.
struct SettingProblem: Error {
    /// What belongs there: `a whole number from 1 to 65 535`.
    var expected: String
}

/// One setting.
struct Setting: Sendable {
    /// `listen.port`: the section and the key in the file.
    let key: String
    /// What it is for, in a line.
    let meaning: String
    let read: @Sendable (String, inout ServerSettings) throws(SettingProblem) -> Void
    let show: @Sendable (ServerSettings) -> String

    /// The environment variable that overrides it.
    var variable: String { "TOLLGATE_" + key.uppercased().replacing(".", with: "_") }

    static func named(_ key: String) -> Setting? { all.first { $0.key == key } }

    static let all: [Setting] = [
        .text(
            "data_directory", \.gateway.dataDirectory, "an absolute or relative path",
            "where everything is kept; made if it is missing (its parent must exist)"),
        creditValue,
        .whole(
            "notice_days", \.gateway.noticeDays, 0...3_650,
            "days of notice before users pay more by a rule, unless a reason is given"),
        .whole("event_loops", \.transport.eventLoops, 1...256, "threads that serve connections"),

        .loopback("listen.host", \.transport.host, "address of the framed protocol"),
        .whole("listen.port", \.transport.port, 0...65_535, "its port; 0 lets the system choose"),
        .loopback("admin.host", \.adminHost, "address of the HTTP API"),
        .whole("admin.port", \.adminPort, 0...65_535, "its port; 0 lets the system choose"),

        .flag(
            "accounts.auto_open", \.gateway.opensAccounts,
            "whether the first report or hold of an unknown account opens it"),
        .text(
            "accounts.auto_open_tier", \.gateway.openedTier, "the tier of a platform rule, such as trial",
            "tier of an organisation that is opened so"),

        .whole(
            "ledger.ids_max", \.gateway.idsMax, 1_024...LedgerLimits.idsMax,
            "request ids remembered in memory, about 40 bytes each; beyond it history is asked"),
        .whole(
            "ledger.holds_max", \.gateway.holdsMax, 1...100_000_000,
            "open holds at once, some 350 bytes each and more where names are long; more are refused as OVERLOADED"
        ),
        orphanPolicy,
        .size(
            "journal.segment_bytes", \.gateway.segmentBytes, 64 << 10...1 << 30, multipleOf: 4_096,
            "size of a journal segment"),
        .size(
            "journal.bytes_max", \.gateway.journalBytesMax, 128 << 20...1 << 50,
            "journal kept for a history that is behind; beyond it reports are refused as OVERLOADED"),
        .size(
            "journal.staged_bytes_max", \.gateway.stagedBytesMax, 1 << 20...1 << 34,
            "entries waiting for the journal above which connections are not read"),
        .whole(
            "history.retention_days", \.gateway.historyRetentionDays, 0...36_500,
            "days after which usage keeps its figures only, without tags and explanation; 0 for never"),
        .seconds(
            "checkpoint.interval_seconds", \.gateway.checkpointInterval, 1...3_600,
            "time between two checkpoints"),

        .percentages(
            "events.thresholds", \.gateway.thresholds,
            "how much of a period's credit is used up when an event tells of it; nothing for none"),
        .seconds(
            "quotes.valid_seconds", \.gateway.quoteValid, 1...86_400,
            "how long a quote's token pins its prices"),

        .whole(
            "transport.connections_max", \.transport.limits.connectionsMax, 1...1_000_000,
            "connections at once; more are closed when they come"),
        .whole(
            "transport.in_flight_max", \.transport.limits.inFlightMax, 1...65_536,
            "calls of a connection without an answer, above which it is not read"),
        .size(
            "transport.unread_bytes_max", \.transport.limits.unreadBytesMax, 16 << 10...64 << 20,
            "answers that a client has not read, above which it is not read from"),
        .size(
            "transport.memory_bytes_max", \.transport.limits.memoryBytesMax, 16 << 20...1 << 40,
            "what all connections may hold: from 85 % on new ones wait, from 92 % calls are refused"),
        .whole(
            "transport.partial_frame_seconds_max", \.transport.limits.partialFrameSecondsMax, 1...3_600,
            "how long a frame may stay incomplete"),
        .whole(
            "transport.partial_frame_bytes_per_second_min",
            \.transport.limits.partialFrameBytesPerSecondMin, 0...1 << 20,
            "how fast an incomplete frame must come, over any five seconds; 0 for no such floor"),
        .whole(
            "transport.write_stall_seconds_max", \.transport.limits.writeStallSecondsMax, 1...3_600,
            "how long a client may read nothing of its answers"),
        .whole(
            "transport.idle_seconds_max", \.transport.limits.idleSecondsMax, 1...86_400,
            "how long a connection may say nothing"),
        .whole(
            "transport.drain_seconds_max", \.transport.limits.drainSecondsMax, 0...3_600,
            "how long a stop waits for answers under way"),

        logLevel,
    ]

    private static let creditValue = Setting(
        key: "credit_value_usd", meaning: "worth of a credit; fixed when the data directory is made",
        read: { (text, settings) throws(SettingProblem) in
            let expected = "a decimal number of US dollars such as 0.001, above 0 and at most 1000"
            let amount: Picodollars
            do throws(MoneyError) {
                amount = try Picodollars(text: text)
            } catch {
                throw SettingProblem(expected: "\(expected) (\(error))")
            }
            guard let value = CreditValue(picodollarsPerCredit: amount.count) else {
                throw SettingProblem(expected: expected)
            }
            settings.gateway.creditValue = value
        },
        show: { Picodollars($0.gateway.creditValue.picodollarsPerCredit).text })

    private static let orphanPolicy = Setting(
        key: "holds.orphan_policy",
        meaning: "what a hold that does not say is charged when its lease ends without a report",
        read: { (text, settings) throws(SettingProblem) in
            guard let policy = HoldOrphan.allCases.first(where: { $0.name == text }) else {
                throw SettingProblem(
                    expected: "one of \(HoldOrphan.allCases.map(\.name).joined(separator: ", "))")
            }
            settings.gateway.orphanPolicy = policy
        },
        show: { $0.gateway.orphanPolicy.name })

    private static let logLevel = Setting(
        key: "log.level", meaning: "least important messages shown",
        read: { (text, settings) throws(SettingProblem) in
            guard let level = Logger.Level(rawValue: text) else {
                throw SettingProblem(
                    expected: "one of \(Logger.Level.allCases.map(\.rawValue).joined(separator: ", "))")
            }
            settings.logLevel = level
        },
        show: { $0.logLevel.rawValue })
}

// MARK: - Kinds of settings

extension Setting {
    private typealias Path<Value> = any WritableKeyPath<ServerSettings, Value> & Sendable

    private static func text(
        _ key: String, _ path: Path<String>, _ expected: String, _ meaning: String
    ) -> Setting {
        Setting(
            key: key, meaning: meaning,
            read: { (text, settings) throws(SettingProblem) in
                guard !text.isEmpty, !text.utf8.contains(0) else { throw SettingProblem(expected: expected) }
                settings[keyPath: path] = text
            },
            show: { $0[keyPath: path] })
    }

    private static func flag(_ key: String, _ path: Path<Bool>, _ meaning: String) -> Setting {
        Setting(
            key: key, meaning: meaning,
            read: { (text, settings) throws(SettingProblem) in
                guard let value = Bool(text) else { throw SettingProblem(expected: "true or false") }
                settings[keyPath: path] = value
            },
            show: { String($0[keyPath: path]) })
    }

    /// An address that only this machine reaches.
    private static func loopback(_ key: String, _ path: Path<String>, _ meaning: String) -> Setting {
        Setting(
            key: key, meaning: meaning,
            read: { (text, settings) throws(SettingProblem) in
                guard isLoopback(text) else {
                    throw SettingProblem(
                        expected: "127.0.0.1, ::1 or localhost: keys and TLS are not there yet, so nobody"
                            + " from outside may connect")
                }
                settings[keyPath: path] = text
            },
            show: { $0[keyPath: path] })
    }

    static func isLoopback(_ host: String) -> Bool {
        if host == "::1" || host == "localhost" { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
    }

    private static func whole<Number: FixedWidthInteger & Sendable>(
        _ key: String, _ path: Path<Number>, _ range: ClosedRange<Number>, _ meaning: String
    ) -> Setting {
        Setting(
            key: key, meaning: meaning,
            read: { (text, settings) throws(SettingProblem) in
                guard let value = Number(text.filter { $0 != "_" }), range.contains(value) else {
                    throw SettingProblem(
                        expected: "a whole number from \(Figures.grouped(range.lowerBound)) to"
                            + " \(Figures.grouped(range.upperBound))")
                }
                settings[keyPath: path] = value
            },
            show: { String($0[keyPath: path]) })
    }

    private static func size(
        _ key: String, _ path: Path<Int>, _ range: ClosedRange<Int>, multipleOf unit: Int = 1,
        _ meaning: String
    ) -> Setting {
        Setting(
            key: key, meaning: meaning,
            read: { (text, settings) throws(SettingProblem) in
                guard let value = bytes(text), range.contains(value), value % unit == 0 else {
                    let multiple = unit > 1 ? ", a multiple of \(Figures.bytes(unit))" : ""
                    throw SettingProblem(
                        expected:
                            "a number of bytes such as 64 MiB, from \(Figures.bytes(range.lowerBound)) to"
                            + " \(Figures.bytes(range.upperBound))\(multiple)")
                }
                settings[keyPath: path] = value
            },
            show: { Figures.bytes($0[keyPath: path]) })
    }

    private static func seconds(
        _ key: String, _ path: Path<Duration>, _ range: ClosedRange<Int64>, _ meaning: String
    ) -> Setting {
        Setting(
            key: key, meaning: meaning,
            read: { (text, settings) throws(SettingProblem) in
                guard let value = Int64(text), range.contains(value) else {
                    throw SettingProblem(
                        expected: "a whole number of seconds from \(range.lowerBound) to \(range.upperBound)")
                }
                settings[keyPath: path] = .seconds(value)
            },
            show: { String($0[keyPath: path].components.seconds) })
    }

    private static func percentages(_ key: String, _ path: Path<[Int]>, _ meaning: String) -> Setting {
        Setting(
            key: key, meaning: meaning,
            read: { (text, settings) throws(SettingProblem) in
                let parts = text.split(separator: ",").map { $0.trimmingPrefix(while: { $0 == " " }) }
                let values = parts.compactMap { Int($0) }
                guard values.count == parts.count, values.allSatisfy({ (1...100).contains($0) }),
                    zip(values, values.dropFirst()).allSatisfy({ $0 < $1 })
                else {
                    throw SettingProblem(
                        expected: "percentages from 1 to 100 in ascending order, such as 75,90,100")
                }
                settings[keyPath: path] = values
            },
            show: { $0[keyPath: path].map(String.init).joined(separator: ",") })
    }

    /// `65536`, `64 KiB`, `64MiB`, `1 GiB`.
    static func bytes(_ text: String) -> Int? {
        let digits = text.prefix { $0.isNumber || $0 == "_" }
        guard let count = Int(digits.filter { $0 != "_" }) else { return nil }
        let unit = text.dropFirst(digits.count).trimmingPrefix { $0 == " " }
        let factors = ["": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40]
        guard let factor = factors[String(unit)] else { return nil }
        let (bytes, overflow) = count.multipliedReportingOverflow(by: factor)
        return overflow ? nil : bytes
    }
}
