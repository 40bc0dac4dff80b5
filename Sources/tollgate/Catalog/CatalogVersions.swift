// `tollgate catalog approve`, `list`, `export`: versions at a gateway.

import ArgumentParser
import Pricing
import StrictJSON

struct CatalogApprove: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "approve",
        abstract: "Puts a version of the catalogue in force, at once and without a restart.",
        discussion: """
            tollgate catalog approve 2 --by ada@example.org
            tollgate catalog approve 2 --digest 9f2c41 --replacing 1
            tollgate catalog approve 1

            Approving an earlier version again goes back to it. --digest and --replacing
            make sure that it is what was looked at. Who and when is kept in the audit.
            """)

    @OptionGroup var server: AdminOptions
    @OptionGroup var actor: ActorOptions
    @OptionGroup var output: OutputOptions

    @Argument(help: "The version's number.")
    var version: UInt32

    @Option(help: "What its digest must begin with.")
    var digest: String?

    @Option(help: "The version that must be in force until then.")
    var replacing: UInt32?

    func run() async throws {
        var document: JSONObject = [
            "version": .integer(version), "by": .string(try actor.name()),
            "digest": digest.map { .string($0) } ?? .null,
        ]
        if let replacing { document["replacing"] = .integer(replacing) }
        let answer = try await server.client.post(CatalogCommand.path + "/approve", document)
        let (object, text) = try JSONNode.reading { () throws(JSONError) in
            (
                try answer.object(),
                "version \(try answer.shown("version")) is in force, approved by"
                    + " \(try answer.shown("approved_by")); it replaces version \(try answer.shown("replaced"))"
            )
        }
        output.show(object, text: text)
    }
}

struct CatalogList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "Lists the versions of the catalogue, and which was in force from when on.",
        discussion: "Example:  tollgate catalog list --output json",
        aliases: ["history"])

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let answer = try await server.client.get(CatalogCommand.path + "/versions")
        let (object, text) = try JSONNode.reading { () throws(JSONError) in
            (try answer.object(), try Self.text(answer))
        }
        output.show(object, text: text)
    }

    private static func text(_ answer: JSONNode) throws(JSONError) -> String {
        var versions = Table(
            [
                ("version", .right), ("state", .left), ("digest", .left), ("imported", .left), ("by", .left),
                ("source", .left),
            ], indent: "")
        for version in try answer.field("versions").array() {
            versions.add([
                try version.shown("version"), try version.shown("state"),
                String(try version.shown("digest").prefix(16)), try version.shown("imported_at"),
                try version.shown("imported_by"), String(try version.shown("source").prefix(60)),
            ])
        }
        var history = Table(
            [("version", .right), ("in force from", .left), ("until", .left), ("approved by", .left)],
            indent: "")
        for activation in try answer.field("activations").array() {
            history.add([
                try activation.shown("version"), try activation.shown("from"),
                try activation.shown("until"), try activation.shown("approved_by"),
            ])
        }
        return versions.text + "\n\n" + history.text
    }
}

struct CatalogExport: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract:
            "Writes a version of the catalogue as a file that can be read, compared and imported again.",
        discussion: """
            tollgate catalog export > catalogue.json
            tollgate catalog export 2 --file catalogue-2.json
            """)

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    @Argument(help: ArgumentHelp("Which; the one in force without it.", valueName: "version|live"))
    var version = "live"

    @Option(help: "Where to; standard output without it.")
    var file: String?

    func run() async throws {
        let source = CatalogSource(version)
        guard source.version != nil else {
            throw CommandFailure.environment("\(version) is not the number of a version")
        }
        let bytes = try await source.file(server)
        if let file {
            try TextFile.write(bytes, to: file)
            output.show(
                ["version": .string(version), "file": .string(file), "bytes": .integer(bytes.count)],
                text: "\(source.name) written to \(file)")
        } else {
            Console.out(partial: String(decoding: bytes, as: UTF8.self))
        }
    }
}
