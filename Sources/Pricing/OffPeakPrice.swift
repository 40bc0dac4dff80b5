// Prices that depend on the hour: off-peak rates in certain windows of the week.
//
// A window is a run of minutes on certain days, both in UTC, because providers publish them so and because
// a day without summer time has no hour that comes twice. The instant is the request's event time. Windows
// may overlap; being in one of them is enough. In the tables of a book such a price is two, and a number
// below zero in the place of one says so: a request at a price without hours pays nothing for the feature.

import StrictJSON

/// The card of certain hours, laid over the price's own.
public struct OffPeakPrice: Hashable, Sendable {
    public var windows: [WeeklyWindow]
    public var card: RateCard

    public init(windows: [WeeklyWindow], card: RateCard) {
        self.windows = windows
        self.card = card
    }

    /// Whether `instant` is in one of the windows.
    public func contains(_ instant: Timestamp) -> Bool { windows.contains { $0.contains(instant) } }
}

/// A run of minutes on certain days of the week, in UTC.
public struct WeeklyWindow: Hashable, Sendable {
    /// Days as ISO 8601 numbers them: Monday is 1, Sunday 7. In order, each once.
    public let days: [Int]
    /// The first minute of the day, and the first that no longer belongs to it: 0 to 1440.
    public let minutes: Range<Int>
    private let mask: UInt8

    /// Minutes of a day.
    public static let minutesPerDay = 1_440
    /// Every day.
    public static let everyDay = Array(1...7)

    /// Nil if a day is not 1 to 7, there is none, or the minutes are none or not within a day.
    public init?(days: [Int], minutes: Range<Int>) {
        guard !days.isEmpty, days.allSatisfy((1...7).contains), !minutes.isEmpty, minutes.lowerBound >= 0,
            minutes.upperBound <= Self.minutesPerDay
        else { return nil }
        self.days = Set(days).sorted()
        self.minutes = minutes
        mask = days.reduce(0) { $0 | 1 << UInt8($1 - 1) }
    }

    /// Whether `instant` is within it. O(1).
    public func contains(_ instant: Timestamp) -> Bool {
        let microsecondsPerMinute = 60 * Timestamp.microsecondsPerSecond
        let minute = instant.microseconds.floorDivided(by: microsecondsPerMinute)
        let day = minute.floorDivided(by: Int64(Self.minutesPerDay))
        // 1970 began on a Thursday, the fourth day.
        let weekday = (day + 3) - (day + 3).floorDivided(by: 7) * 7
        return mask & 1 << UInt8(weekday) != 0
            && minutes.contains(Int(minute - day * Int64(Self.minutesPerDay)))
    }
}

extension OffPeakPrice {
    init(_ node: JSONNode) throws(JSONError) {
        try node.expectOnly(["windows", "rates", "tiers"])
        var windows: [WeeklyWindow] = []
        for window in try node.field("windows").array() { windows.append(try WeeklyWindow(window)) }
        self.init(windows: windows, card: try RateCard(node))
    }

    var json: JSONValue {
        var object: JSONObject = ["windows": .array(windows.map(\.json))]
        card.write(to: &object)
        return .object(object)
    }
}

extension WeeklyWindow {
    fileprivate init(_ node: JSONNode) throws(JSONError) {
        try node.expectOnly(["days", "from", "until"])
        var days = Self.everyDay
        if let list = try node.optional("days") {
            days = []
            for day in try list.array() { days.append(Int(try day.integer(in: 1...7))) }
        }
        let from = try Self.minute(try node.field("from"))
        let until = try Self.minute(try node.field("until"))
        guard from < until, let window = WeeklyWindow(days: days, minutes: from..<until) else {
            throw node.invalid(
                "a window is on at least one day and ends after it begins; one past midnight is two")
        }
        self = window
    }

    private static func minute(_ node: JSONNode) throws(JSONError) -> Int {
        guard let minute = minute(of: try node.string()) else {
            throw node.unexpected("a time of day in UTC from \"00:00\" to \"24:00\"")
        }
        return minute
    }

    /// The minute of a day that `HH:MM` names, 24:00 included; nil for anything else.
    static func minute(of text: String) -> Int? {
        let bytes = Array(text.utf8)
        guard bytes.count == 5, bytes[2] == UInt8(ascii: ":"),
            [0, 1, 3, 4].allSatisfy({ (0x30...0x39).contains(bytes[$0]) })
        else { return nil }
        let hour = Int(bytes[0] - 0x30) * 10 + Int(bytes[1] - 0x30)
        let minute = Int(bytes[3] - 0x30) * 10 + Int(bytes[4] - 0x30)
        let total = hour * 60 + minute
        return minute < 60 && total <= minutesPerDay ? total : nil
    }

    var json: JSONValue {
        func text(_ minute: Int) -> JSONValue {
            let (hour, rest) = (minute / 60, minute % 60)
            return .string("\(hour < 10 ? "0" : "")\(hour):\(rest < 10 ? "0" : "")\(rest)")
        }
        var object = JSONObject()
        if days != Self.everyDay { object["days"] = .array(days.map { .integer($0) }) }
        object["from"] = text(minutes.lowerBound)
        object["until"] = text(minutes.upperBound)
        return .object(object)
    }
}
