// The history as text, a page at a time: for a program that takes it elsewhere.
//
//      GET /api/v1/export/{usage|credits|rollups}?format=csv|jsonl|focus&account=&from=&to=&cursor=&limit=
//
// The first page begins with the names of the columns. As long as there is more, an answer has the header
// `X-Next-Cursor`: asked for with it as `cursor`, the next page is the rest of the same text, so pages one behind
// the other are the file. The export ends where the history ended when it began.

import Gateway
import HTTPTypes
import Ledger
import Pricing
import Store

extension AdminDesk {
    /// `GET /api/v1/export/{}`. The first page waits for the history to hold what was reported before,
    /// `AdminLimits.receiptWait` at the most.
    func export(_ request: AdminRequest) async throws(RequestProblem) -> Reply {
        try request.expectParameters(["format", "account", "user_id", "from", "to", "cursor", "limit"])
        let word = String(decoding: request.place, as: UTF8.self)
        guard let kind = ExportKind(rawValue: word) else {
            throw .noRoute("/api/v1/export/\(word.prefix(100))")
        }
        let format = try request.exportFormat()
        guard var text = ExportText(kind, format, creditValue: gateway.creditValue) else {
            throw .badParameter("format", found: "focus", expected: "csv or jsonl: FOCUS is about usage")
        }
        var filter = ExportFilter()
        filter.account = try request.account()?.path
        if kind == .rollups {
            filter.since = try request.day("from")?.start.microseconds
            filter.until = try request.day("to")?.start.microseconds
        } else {
            filter.since = try request.instant("from")?.microseconds
            filter.until = try request.instant("to")?.microseconds
        }
        let limit =
            try request.integer("limit", in: 1...AdminLimits.exportRowsMax) ?? AdminLimits.exportRowsDefault
        let (gateway, wanted) = (gateway, filter)
        var position: ExportPosition?
        if let cursor = request.parameter("cursor") {
            position = ExportPosition(text: cursor, kind)
            guard position != nil else {
                throw .badParameter(
                    "cursor", found: cursor, expected: "the X-Next-Cursor of the page before")
            }
        } else {
            try await catchUp()
            position = try await reading { () throws(AdministrationError) in
                try gateway.exportStart(kind, wanted)
            }
            text.addHeader()
        }
        var next: ExportPosition?
        if let position {
            let stretch = try await reading { () throws(AdministrationError) in
                try gateway.exportStretch(kind, wanted, at: position, count: limit)
            }
            text.add(stretch.rows)
            next = stretch.next
        }
        var reply = Reply(body: text.take(), fields: [])
        reply.contentType = format.contentType
        if let next { reply.fields.append((.xNextCursor, next.text)) }
        return reply
    }
}

extension AdminRequest {
    fileprivate func exportFormat() throws(RequestProblem) -> ExportFormat {
        guard let text = parameter("format") else { return .csv }
        guard let format = ExportFormat(rawValue: text) else {
            throw .badParameter(
                "format", found: text,
                expected: ExportFormat.allCases.map(\.rawValue).joined(separator: ", "))
        }
        return format
    }
}
