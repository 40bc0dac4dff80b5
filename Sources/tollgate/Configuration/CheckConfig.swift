// `tollgate check-config`: what a gateway would be started with, and where each value comes from.

import ArgumentParser
import StrictJSON

struct CheckConfig: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows the effective configuration, and where each value comes from.",
        discussion: """
            Nothing is started and nothing is made. Exit code 2 if a key is unknown or
            a value cannot be used.

            tollgate check-config --config tollgate.yaml
            TOLLGATE_LISTEN_PORT=5000 tollgate check-config -d ./data

            The file is YAML; sections are indented, ${NAME} takes a value from the
            environment:

              data_directory: ${HOME}/tollgate-data
              listen:
                port: 4770
              journal:
                segment_bytes: 64 MiB

            Settings, with the environment variable that overrides each:

            \(Setting.all.map { "\($0.key)  (\($0.variable))\n    \($0.meaning)" }.joined(separator: "\n"))
            """)

    @OptionGroup var options: ConfigurationOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let configuration = try options.load()
        var table = Table([("setting", .left), ("value", .left), ("from", .left)], indent: "")
        var settings = JSONObject()
        for setting in Setting.all {
            let value = setting.show(configuration.settings)
            let origin = configuration.origin(of: setting).text
            table.add([setting.key, value, origin])
            settings[setting.key] = ["value": .string(value), "from": .string(origin)]
        }
        output.show(["settings": .object(settings)], text: table.text)
    }
}
