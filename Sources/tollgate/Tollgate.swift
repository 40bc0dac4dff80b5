// The root of the command line: the list of subcommands, and what the process's exit code says.
//
//      0   done
//      1   the answer is no: refused, not found, a difference found
//      2   the call or the surroundings are wrong: usage, a file, no server

import ArgumentParser

/// The version of this build.
enum ProductVersion {
    static let text = "0.1.0"
}

struct Tollgate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tollgate",
        abstract: "A metering gateway for LLM traffic: prices usage, takes the credits, proves the books.",
        discussion: """
            See it work, nothing needed:

              tollgate demo

            Run a gateway, and in another terminal use it:

              tollgate serve --data-directory ./data
              tollgate accounts open acme --tier professional --credits 1000
              tollgate report --account acme --source platform \\
                  --provider openai --model gpt-4o --input-tokens 4808
              tollgate transactions acme

            Every command takes --output json. Exit codes: 0 done, 1 the answer is no
            or a difference was found, 2 the call or the surroundings are wrong.
            """,
        version: ProductVersion.text,
        groupedSubcommands: [
            CommandGroup(name: "Running:", subcommands: [Serve.self, CheckConfig.self, Demo.self]),
            CommandGroup(
                name: "Metering (frames over TCP):",
                subcommands: [Report.self, QuoteCall.self, HoldsCommand.self, BalanceCall.self]),
            CommandGroup(
                name: "Administration (HTTP):",
                subcommands: [
                    Credits.self, Accounts.self, BudgetsCommand.self, Transactions.self, UsageCommand.self,
                    ExportCommand.self, EventsCommand.self, Explain.self,
                    ParkedCommand.self,
                    RulesCommand.self, Simulate.self, ShadowCommand.self,
                    CatalogCommand.self, Status.self,
                ]),
            CommandGroup(
                name: "A data directory, offline:", subcommands: [Verify.self, Inspect.self]),
            CommandGroup(name: "About:", subcommands: [Version.self]),
        ])

    /// Runs the command that the arguments name, and ends the process.
    static func runToExit() async -> Never {
        do {
            var command = try parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
            Console.exit(0)
        } catch let failure as CommandFailure {
            Console.error(failure.message)
            Console.exit(failure.exitCode)
        } catch {
            let code = exitCode(for: error)
            if code.isSuccess {
                Console.out(fullMessage(for: error))
                Console.exit(0)
            }
            // The parser's own code for wrong usage is 64; ours is 2, like every other wrong call.
            Console.error(fullMessage(for: error), named: false)
            Console.exit(2)
        }
    }
}

struct Version: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows the version.",
        discussion: "Example:  tollgate version --output json")

    @OptionGroup var output: OutputOptions

    func run() {
        output.show(["version": .string(ProductVersion.text)], text: "tollgate \(ProductVersion.text)")
    }
}

/// Why a command ends without having done what it was asked.
enum CommandFailure: Error {
    /// The answer is no. Exit code 1. What it was has been said, if `message` is empty.
    case negative(String)
    /// The call or the surroundings are wrong. Exit code 2.
    case environment(String)

    var message: String {
        switch self {
        case .negative(let message), .environment(let message): message
        }
    }

    var exitCode: Int32 {
        switch self {
        case .negative: 1
        case .environment: 2
        }
    }
}
