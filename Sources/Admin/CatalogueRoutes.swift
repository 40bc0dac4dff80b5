// The prices over HTTP: import a list as a draft, compare it, approve it, read it.
//
// A draft is not in force, so importing is safe to repeat: the same content is the same version. Approving
// says who; there are no keys yet, so it is the name that the request gives.

import Gateway
import Logging
import Pricing
import Store
import StrictJSON

extension AdminDesk {
    /// `POST /api/v1/pricing/catalogue/import`: the body is the price list itself.
    ///
    /// Parameters: `by`, `format`, `source`, `effective_from`, and `zero_is_free`, `round`, `skip_invalid`,
    /// `keep_missing`, each `true` or `false`.
    func importCatalogue(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters([
            "by", "format", "source", "effective_from", "zero_is_free", "round", "skip_invalid",
            "keep_missing",
        ])
        var options = ImportOptions(
            zeroIsFree: try request.flag("zero_is_free"), roundsRates: try request.flag("round"),
            skipsInvalid: try request.flag("skip_invalid"))
        options.source = try request.words("source", bytesMax: AdminLimits.catalogueSourceBytesMax)
        var format: CatalogueFormat?
        if let text = request.parameter("format") {
            format = CatalogueFormat(rawValue: text)
            if format == nil {
                throw .badParameter(
                    "format", found: text,
                    expected: CatalogueFormat.allCases.map(\.rawValue).joined(separator: ", "))
            }
        }
        let staging = CatalogueStaging(
            bytes: request.body, format: format, options: options,
            keepsMissing: try request.flag("keep_missing"),
            effectiveFrom: try request.instant("effective_from"), actor: try request.actor())
        let gateway = gateway
        let staged = try await reading { () throws(AdministrationError) in
            try gateway.stageCatalogue(staging)
        }
        logger.info(
            "price list imported",
            metadata: [
                "request_id": "\(request.id)", "version": "\(staged.version.number)",
                "by": "\(staging.actor)", "models": "\(staged.imported.catalogue.models.count)",
                "duplicate": "\(staged.isDuplicate)",
            ])
        var object: JSONObject = [
            "version": .integer(staged.version.number), "digest": .string(staged.version.digest),
            "state": .string(staged.version.isActive ? "in_force" : "draft"),
            "duplicate": .bool(staged.isDuplicate), "compared_to": .integer(staged.inForce),
            "added": .integer(staged.diff.added.count), "removed": .integer(staged.diff.removed.count),
            "changed": .integer(staged.diff.changed.count), "unchanged": .integer(staged.diff.unchangedCount),
        ]
        object["unpriced_in_use"] = .array(
            staged.unpricedInUse.prefix(AdminLimits.findingsMax).map { used in
                .object([
                    "provider": .string(used.provider), "model": .string(used.model),
                    "recent_reports": .integer(used.count),
                ])
            })
        object["import"] = .object(staged.imported.report)
        object["lint_count"] = .integer(staged.lint.count)
        object["lint"] = .array(staged.lint.prefix(AdminLimits.findingsMax).map { .object($0.json) })
        return Reply(object)
    }

    /// `POST /api/v1/pricing/catalogue/approve`: `{"version", "by"}`, and to be sure `digest` (its
    /// beginning) and `replacing` (the version that must be in force).
    func approveCatalogue(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters()
        let root = try request.document()
        let (number, actor, digest, replacing) = try AdminRequest.reading { () throws(JSONError) in
            try root.expectOnly(["version", "by", "digest", "replacing"])
            let versions = Int64(1)...Int64(UInt32.max)
            return (
                UInt32(try root.field("version").integer(in: versions)),
                try root.field("by").words(bytesMax: AdminLimits.actorBytesMax),
                try root.optional("digest")?.string(),
                try root.optional("replacing")?.integer(in: versions)
            )
        }
        let gateway = gateway
        let before = try await reading { () throws(AdministrationError) in
            try gateway.approveCatalogue(
                number, digest: digest, replacing: replacing.map { UInt32($0) }, actor: actor)
        }
        logger.info(
            "catalogue approved",
            metadata: ["request_id": "\(request.id)", "version": "\(number)", "by": "\(actor)"])
        return Reply([
            "version": .integer(number), "replaced": .integer(before), "approved_by": .string(actor),
            "state": "in_force",
        ])
    }

    /// `GET /api/v1/pricing/catalogue/versions`: every version, and which was in force from when on.
    func catalogueVersions(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters()
        let gateway = gateway
        let (versions, activations) = try await reading { () throws(AdministrationError) in
            try gateway.catalogues()
        }
        return Reply([
            "versions": .array(versions.map { .object($0.json) }),
            "activations": .array(
                activations.enumerated().map { index, activation in
                    [
                        "version": .integer(activation.number), "approved_by": .string(activation.actor),
                        "from": .instant(activation.at),
                        "until": index + 1 < activations.count ? .instant(activations[index + 1].at) : .null,
                    ]
                }),
            "total": .integer(versions.count),
        ])
    }

    /// `GET /api/v1/pricing/catalogue/versions/{number}`, or `live`: with the report of its import.
    func catalogueVersion(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters()
        let number = try Self.version(request.place.text, "version")
        let gateway = gateway
        let stored = try await reading { () throws(AdministrationError) in try gateway.catalogue(number) }
        var object = stored.json
        object["import"] = try AdminRequest.reading { () throws(JSONError) in
            try JSONNode(parsing: Array(stored.report.utf8), bytesMax: AdminLimits.catalogueBodyBytesMax)
                .value
        }
        return Reply(object)
    }

    /// `GET /api/v1/pricing/catalogue/file?version=`: the catalogue file, as it is kept.
    func catalogueFile(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters(["version"])
        let number = try Self.version(request.parameter("version") ?? "live", "version")
        let gateway = gateway
        let stored = try await reading { () throws(AdministrationError) in try gateway.catalogue(number) }
        return Reply(body: Array(stored.text.utf8))
    }

    /// `GET /api/v1/pricing/catalogue/models?model=&provider=&version=`: what a name leads to.
    func catalogueModels(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters(["model", "provider", "version"])
        guard let name = request.parameter("model") else { throw .missingParameter("model") }
        let provider = request.parameter("provider")
        let number = try Self.version(request.parameter("version") ?? "live", "version")
        let gateway = gateway
        let catalogue = try await reading { () throws(AdministrationError) in try gateway.prices(number) }
        let found = catalogue.models(named: name, provider: provider)
        if found.isEmpty { throw .noModel(name) }
        return Reply([
            "version": .integer(catalogue.version),
            "models": .array(
                found.map { model, match in
                    ["match": .string(match.rawValue), "model": model.document]
                }),
            "total": .integer(found.count),
        ])
    }

    /// `GET /api/v1/pricing/catalogue/diff?before=&after=`: what one version changes of another.
    func catalogueDiff(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters(["before", "after"])
        guard let text = request.parameter("after") else { throw .missingParameter("after") }
        let after = try Self.version(text, "after")
        let before = try Self.version(request.parameter("before") ?? "live", "before")
        let gateway = gateway
        let diff = try await reading { () throws(AdministrationError) in
            try gateway.prices(before).diff(to: gateway.prices(after))
        }
        return Reply(diff.json)
    }

    /// A version's number; nil for the one in force.
    private static func version(_ text: String, _ name: String) throws(RequestProblem) -> UInt32? {
        if text == "live" { return nil }
        guard let number = UInt32(text), number > 0 else {
            throw .badParameter(name, found: text, expected: "a version's number, or live")
        }
        return number
    }
}

extension AdminRequest {
    /// A parameter that is true or false, false where it is missing.
    fileprivate func flag(_ name: String) throws(RequestProblem) -> Bool {
        switch parameter(name) {
        case nil, "false": return false
        case "true": return true
        case let text?: throw .badParameter(name, found: text, expected: "true or false")
        }
    }

    /// A parameter of at most `bytesMax` bytes and at least one, or nil where it is missing.
    fileprivate func words(_ name: String, bytesMax: Int) throws(RequestProblem) -> String? {
        guard let text = parameter(name) else { return nil }
        guard (1...bytesMax).contains(text.utf8.count) else {
            throw .badParameter(name, found: text, expected: "1 to \(bytesMax) bytes")
        }
        return text
    }

    /// Who asks.
    fileprivate func actor() throws(RequestProblem) -> String {
        guard let actor = try words("by", bytesMax: AdminLimits.actorBytesMax) else {
            throw .missingParameter("by")
        }
        return actor
    }
}

extension CatalogueVersion {
    /// The version as a document, without its text and report.
    fileprivate var json: JSONObject {
        [
            "version": .integer(number), "digest": .string(digest), "source": .string(source),
            "imported_at": .instant(importedAt), "imported_by": .string(importedBy),
            "approved_by": approvedBy.map { .string($0) } ?? .null,
            "state": isActive ? "in_force" : approvedBy == nil ? "draft" : "replaced",
        ]
    }
}
