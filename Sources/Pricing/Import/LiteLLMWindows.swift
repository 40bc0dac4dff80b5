// Windows of the week as LiteLLM writes them: `{"hours_utc": ["22:00-02:00"], "weekdays": [1, 5]}`.
//
// One that goes past midnight is two here, the second on the next day; `00:00-00:00` is the whole day.

import StrictJSON

enum LiteLLMWindows {
    /// The windows of one element; nil if it cannot be read.
    static func windows(_ value: JSONValue) -> [WeeklyWindow]? {
        guard case .object(let object) = value else { return nil }
        var days = WeeklyWindow.everyDay
        if let list = object["weekdays"], list != .null {
            guard case .array(let numbers) = list else { return nil }
            days = []
            for number in numbers {
                guard case .number(let text) = number, let day = Int(text) else { return nil }
                days.append(day)
            }
        }
        let ranges: [JSONValue]
        switch object["hours_utc"] {
        case .array(let list)?: ranges = list
        case .string(let text)?: ranges = [.string(text)]
        default: return nil
        }
        var windows: [WeeklyWindow] = []
        for range in ranges {
            guard case .string(let text) = range, let read = Self.windows(text, days) else { return nil }
            windows += read
        }
        return windows
    }

    /// `HH:MM-HH:MM` on `days`; nil if it is not that.
    static func windows(_ text: String, _ days: [Int]) -> [WeeklyWindow]? {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, let from = WeeklyWindow.minute(of: String(parts[0])),
            let until = WeeklyWindow.minute(of: String(parts[1])), from < WeeklyWindow.minutesPerDay
        else { return nil }
        let end = until == 0 ? WeeklyWindow.minutesPerDay : until
        if from < end {
            guard let window = WeeklyWindow(days: days, minutes: from..<end) else { return nil }
            return [window]
        }
        let next = days.map { $0 % 7 + 1 }
        guard let evening = WeeklyWindow(days: days, minutes: from..<WeeklyWindow.minutesPerDay),
            let morning = WeeklyWindow(days: next, minutes: 0..<end)
        else { return nil }
        return [evening, morning]
    }
}
