// The effective configuration: defaults, then the file, then the environment, then options.
//
// Whatever nobody knows is an error that names it, where it stands and what was probably meant. All errors are
// collected, so that one run shows them all.

import Glibc
import StrictJSON
import Yams

/// Where a value came from.
enum SettingOrigin: Hashable, Sendable {
    case standard
    case file(path: String, line: Int)
    case environment(variable: String)
    case option

    var text: String {
        switch self {
        case .standard: "default"
        case .file(let path, let line): "\(path), line \(line)"
        case .environment(let variable): "environment, \(variable)"
        case .option: "option"
        }
    }
}

/// Everything that is wrong with a configuration.
struct ConfigurationError: Error, CustomStringConvertible {
    var problems: [String]

    var description: String {
        problems.count == 1
            ? problems[0]
            : "\(problems.count) things are wrong with the configuration:\n  "
                + problems.joined(separator: "\n  ")
    }
}

/// What a gateway is started with, and why.
struct Configuration: Sendable {
    private(set) var settings: ServerSettings
    private(set) var origins: [String: SettingOrigin] = [:]
    private var problems: [String] = []

    /// A file's text, for messages by this name.
    struct File {
        var path: String
        var text: String
    }

    /// Puts the parts together.
    ///
    /// - Parameters:
    ///   - file: YAML; nil without a file.
    ///   - environment: all variables of the process; those beginning with `TOLLGATE_` are looked at, the
    ///     others may be referred to as `${NAME}` in the file.
    ///   - options: `key=value` in order, stronger than everything else.
    init(
        file: File?, environment: [String: String], options: [(key: String, value: String)] = [],
        cores: Int = Configuration.cores
    ) throws(ConfigurationError) {
        settings = ServerSettings(cores: cores)
        if let file { read(file, environment) }
        read(environment)
        for option in options {
            guard let setting = Setting.named(option.key) else {
                let hint = Nearest.hint(option.key, among: Setting.all.map(\.key))
                problems.append("--set \(option.key): there is no such setting; \(hint)")
                continue
            }
            set(setting, option.value, .option)
        }
        if origins["data_directory"] == nil {
            problems.append(
                "data_directory is missing: say where to keep the data, in the file, as TOLLGATE_DATA_DIRECTORY"
                    + " or with --data-directory")
        }
        guard problems.isEmpty else { throw ConfigurationError(problems: problems) }
    }

    static var cores: Int { max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))) }

    func origin(of setting: Setting) -> SettingOrigin { origins[setting.key] ?? .standard }

    private mutating func set(_ setting: Setting, _ value: String, _ origin: SettingOrigin) {
        do throws(SettingProblem) {
            try setting.read(value, &settings)
            origins[setting.key] = origin
        } catch {
            problems.append(
                "\(setting.key) is \(value.isEmpty ? "empty" : "`\(value)`") (\(origin.text)):"
                    + " it must be \(error.expected)")
            origins[setting.key] = origin
        }
    }
}

// MARK: - The environment

extension Configuration {
    private mutating func read(_ environment: [String: String]) {
        for (name, value) in environment.sorted(by: { $0.key < $1.key }) where name.hasPrefix("TOLLGATE_") {
            if let setting = Setting.all.first(where: { $0.variable == name }) {
                set(setting, value, .environment(variable: name))
            } else if !Self.isFromKubernetes(name) {
                let hint = Nearest.hint(name, among: Setting.all.map(\.variable))
                problems.append("environment variable \(name): there is no such setting; \(hint)")
            }
        }
    }

    /// Kubernetes gives every container variables about a service named `tollgate`; they are not for us.
    private static func isFromKubernetes(_ name: String) -> Bool {
        name == "TOLLGATE_PORT" || name.hasPrefix("TOLLGATE_PORT_") || name.hasPrefix("TOLLGATE_SERVICE_")
    }
}

// MARK: - The file

extension Configuration {
    private mutating func read(_ file: File, _ environment: [String: String]) {
        let root: Node?
        do {
            root = try Yams.compose(yaml: file.text)
        } catch {
            problems.append("\(file.path) is not YAML: \(error)")
            return
        }
        // An empty file sets nothing.
        guard let root else { return }
        guard case .mapping(let mapping) = root else {
            problems.append(
                "\(file.path), line \(root.mark?.line ?? 1): a configuration is a list of `key: value`")
            return
        }
        read(mapping, section: "", file, environment)
    }

    private mutating func read(
        _ mapping: Node.Mapping, section: String, _ file: File, _ environment: [String: String]
    ) {
        for (keyNode, node) in mapping {
            let line = (keyNode.mark ?? node.mark)?.line ?? 0
            let key = section + (keyNode.scalar?.string ?? "?")
            if case .mapping(let inner) = node, Setting.all.contains(where: { $0.key.hasPrefix(key + ".") }) {
                read(inner, section: key + ".", file, environment)
                continue
            }
            guard let setting = Setting.named(key) else {
                problems.append("\(file.path), line \(line): \(Self.unknown(key))")
                continue
            }
            guard case .scalar(let scalar) = node else {
                problems.append(
                    "\(file.path), line \(line): `\(key)` takes one value, not a list or a section")
                continue
            }
            if let value = expand(scalar.string, at: "\(file.path), line \(line)", environment) {
                set(setting, value, .file(path: file.path, line: line))
            }
        }
    }

    private static func unknown(_ key: String) -> String {
        let keys = Setting.all.map(\.key)
        let sections = Set(keys.compactMap { $0.contains(".") ? String($0.prefix { $0 != "." }) : nil })
        if sections.contains(key) {
            let inner = keys.filter { $0.hasPrefix(key + ".") }.map { $0.dropFirst(key.count + 1) }
            return "`\(key)` is a section: put \(inner.joined(separator: ", ")) below it, indented"
        }
        let leaf = key.split(separator: ".").last.map(String.init) ?? key
        let moved = keys.first { $0.hasSuffix("." + leaf) || $0 == leaf }
        let near = Nearest.match(key, among: keys + sections.sorted()) ?? moved
        let hint = near.map { "did you mean `\($0)`?" } ?? "`tollgate check-config --help` lists the keys"
        return "`\(key)` is not a setting; \(hint)"
    }

    /// Puts the variables in for `${NAME}`; nil, with the problem noted, if one is not set.
    private mutating func expand(_ text: String, at place: String, _ environment: [String: String]) -> String?
    {
        var result = ""
        var rest = text[...]
        while let start = rest.firstRange(of: "${") {
            result += rest[..<start.lowerBound]
            let after = rest[start.upperBound...]
            guard let end = after.firstIndex(of: "}") else {
                problems.append("\(place): `\(text)` has `${` without `}`")
                return nil
            }
            let name = String(after[..<end])
            guard let value = environment[name] else {
                problems.append("\(place): the environment variable \(name) is not set")
                return nil
            }
            result += value
            rest = after[after.index(after: end)...]
        }
        return result + rest
    }
}
