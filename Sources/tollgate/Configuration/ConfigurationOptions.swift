// How `serve` and `check-config` are told where the configuration is.

import ArgumentParser
import Foundation

struct ConfigurationOptions: ParsableArguments {
    @Option(name: .shortAndLong, help: "The configuration, a YAML file.")
    var config: String?

    @Option(name: .shortAndLong, help: "Where everything is kept; short for --set data_directory=…")
    var dataDirectory: String?

    @Option(
        name: .customLong("set"),
        help: ArgumentHelp("One setting, stronger than file and environment.", valueName: "key=value"))
    var settings: [String] = []

    /// The effective configuration.
    func load() throws(CommandFailure) -> Configuration {
        var options: [(key: String, value: String)] = []
        for setting in settings {
            let parts = setting.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2 else {
                throw .environment(
                    "--set \(setting): write it as key=value, for example --set listen.port=4770")
            }
            options.append((String(parts[0]), String(parts[1])))
        }
        if let dataDirectory { options.append(("data_directory", dataDirectory)) }
        var file: Configuration.File?
        if let config {
            file = .init(path: config, text: String(decoding: try TextFile.read(config), as: UTF8.self))
        }
        do throws(ConfigurationError) {
            return try Configuration(
                file: file, environment: ProcessInfo.processInfo.environment, options: options)
        } catch {
            throw .environment(error.description)
        }
    }
}
