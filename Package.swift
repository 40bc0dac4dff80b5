// swift-tools-version: 6.2
// Tollgate: a metering gateway for LLM traffic. This file is the map; imports go down the page.

import PackageDescription

/// The same rules for every target: Swift 6 mode, strict memory safety, no warnings.
let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .enableUpcomingFeature("ExistentialAny"),
    .treatAllWarnings(as: .error),
]

let package = Package(
    name: "tollgate",
    platforms: [.macOS(.v26)],
    products: [
        .executable(name: "tollgate", targets: ["tollgate"]),
        .executable(name: "loadtest", targets: ["loadtest"]),
        .library(name: "TollgateClient", targets: ["TollgateClient"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
    ],
    targets: [
        // Executables: parse arguments, connect the parts, run.
        .executableTarget(
            name: "tollgate",
            dependencies: [
                "Admin", "Transport", "Gateway", "TollgateClient", "Journal", "Store", "Ledger", "Pricing",
                "Money", "StrictJSON", "CSV", "Platform", "Bytes",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Yams", package: "Yams"),
                .product(name: "Histogram", package: "hdrhistogram-swift"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: settings),
        .executableTarget(
            name: "loadtest",
            dependencies: [
                "Wire", "Platform", "Gateway",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Histogram", package: "hdrhistogram-swift"),
                .product(name: "Logging", package: "swift-log"),
            ],
            path: "Loadtest",
            swiftSettings: settings),

        // Edges: sockets, frames, HTTP and JSON. Bytes in, bytes out.
        .target(
            name: "Admin",
            dependencies: [
                "Gateway", "StrictJSON", "CSV", "Wire",
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),
        .target(
            name: "Transport",
            dependencies: [
                "Gateway", "Wire",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),
        .target(
            name: "TollgateClient",
            dependencies: [
                "Wire",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: settings),

        // The middle: price, decide, make durable, answer. In one place.
        .target(
            name: "Gateway",
            dependencies: [
                "Ledger", "Journal", "Store", .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),

        // Frames and protobuf-c to Swift values, and back.
        .target(
            name: "Wire", dependencies: ["CTollgateProtos", "Ledger"], swiftSettings: settings),

        // Durability: opaque bytes in, the same bytes back; and SQLite.
        .target(name: "Journal", dependencies: ["Platform", "COpenSSL"], swiftSettings: settings),
        .target(
            name: "Store",
            dependencies: ["Platform", "Bytes", "CPlatform", .product(name: "GRDB", package: "GRDB.swift")],
            swiftSettings: settings),

        // Rules: no I/O, no clock, no randomness.
        .target(name: "Ledger", dependencies: ["Pricing"], swiftSettings: settings),
        .target(name: "Pricing", dependencies: ["Money", "Bytes", "StrictJSON"], swiftSettings: settings),

        // Words: value types that everything above speaks.
        .target(name: "Money", swiftSettings: settings),
        .target(name: "StrictJSON", swiftSettings: settings),
        .target(name: "CSV", swiftSettings: settings),
        .target(name: "Platform", dependencies: ["Bytes", "CPlatform"], swiftSettings: settings),
        .target(name: "Bytes", dependencies: ["CPlatform"], swiftSettings: settings),

        // Tests: one target for each module, then the whole from outside.
        .testTarget(name: "BytesTests", dependencies: ["Bytes"], swiftSettings: settings),
        .testTarget(name: "StrictJSONTests", dependencies: ["StrictJSON"], swiftSettings: settings),
        .testTarget(name: "CSVTests", dependencies: ["CSV"], swiftSettings: settings),
        .testTarget(name: "MoneyTests", dependencies: ["Money"], swiftSettings: settings),
        .testTarget(name: "PricingTests", dependencies: ["Pricing"], swiftSettings: settings),
        .testTarget(name: "LedgerTests", dependencies: ["Ledger"], swiftSettings: settings),
        .testTarget(name: "PlatformTests", dependencies: ["Platform"], swiftSettings: settings),
        .testTarget(name: "JournalTests", dependencies: ["Journal"], swiftSettings: settings),
        .testTarget(name: "StoreTests", dependencies: ["Store"], swiftSettings: settings),
        .testTarget(name: "WireTests", dependencies: ["Wire"], swiftSettings: settings),
        .testTarget(name: "GatewayTests", dependencies: ["Gateway"], swiftSettings: settings),
        .testTarget(
            name: "TransportTests",
            dependencies: [
                "Transport", "TollgateClient", "Wire", .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "TollgateClientTests",
            dependencies: [
                "TollgateClient", "Platform", .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: settings),
        .testTarget(name: "LoadtestTests", dependencies: ["loadtest", "Wire"], swiftSettings: settings),
        .testTarget(
            name: "AdminTests",
            dependencies: [
                "Admin", .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "CommandTests",
            dependencies: ["tollgate", "CSV", "Pricing", "StrictJSON", "TollgateClient"],
            swiftSettings: settings),

        // The process itself: killed, starved of disk, stopped in the middle.
        .testTarget(
            name: "CrashTests", dependencies: ["tollgate", "StrictJSON", "TollgateClient", "Platform"],
            swiftSettings: settings),

        // C, each imported by one module or two.
        .target(name: "CTollgateProtos", dependencies: ["CProtobufC"]),
        .systemLibrary(
            name: "CProtobufC", pkgConfig: "libprotobuf-c", providers: [.apt(["libprotobuf-c-dev"])]),
        .systemLibrary(
            name: "COpenSSL", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CPlatform"),
    ]
)
