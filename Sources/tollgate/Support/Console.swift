// Where words go: answers to standard output, complaints to standard error.

import ArgumentParser
import Glibc
import StrictJSON

enum Console {
    /// Prints a line, at once.
    static func out(_ text: String) {
        print(text)
        // All streams: naming `stdout` would touch a mutable global of C.
        fflush(nil)
    }

    /// Prints without ending the line, at once.
    static func out(partial text: String) {
        print(text, terminator: "")
        fflush(nil)
    }

    /// Says what went wrong.
    static func error(_ text: String, named: Bool = true) {
        guard !text.isEmpty else { return }
        error(bytes: Array((named ? "tollgate: \(text)\n" : "\(text)\n").utf8))
    }

    /// Draws progress where answers do not go.
    static func progress(_ text: String) { error(bytes: Array(text.utf8)) }

    private static func error(bytes line: [UInt8]) {
        var done = 0
        while done < line.count {
            let written = unsafe line.withUnsafeBytes { bytes in
                unsafe write(STDERR_FILENO, bytes.baseAddress.map { unsafe $0 + done }, line.count - done)
            }
            // Nobody can be told that standard error is closed.
            guard written > 0 || errno == EINTR else { return }
            done += max(0, written)
        }
    }

    /// A person is watching: progress may be drawn over itself.
    static var isTerminal: Bool { isatty(STDOUT_FILENO) == 1 }

    /// A person can be asked.
    static var canAsk: Bool { isatty(STDIN_FILENO) == 1 && isTerminal }

    static func exit(_ code: Int32) -> Never {
        fflush(nil)
        Glibc.exit(code)
    }
}

enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
    case text
    case json
}

/// `--output`, which every command has.
struct OutputOptions: ParsableArguments {
    @Option(help: ArgumentHelp("How to answer.", valueName: "text|json"))
    var output = OutputFormat.text

    var isJSON: Bool { output == .json }

    /// Shows an answer in the format that was asked for.
    func show(_ json: JSONObject, text: @autoclosure () -> String) {
        Console.out(isJSON ? JSONValue.object(json).text(.pretty) : text())
    }

    /// Shows one answer of many: a line each.
    func showLine(_ json: JSONObject, text: @autoclosure () -> String) {
        Console.out(isJSON ? JSONValue.object(json).text : text())
    }
}
