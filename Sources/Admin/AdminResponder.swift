// A request's way through the edge: who asks, from where, for what, with how many bytes; then its
// endpoint; then an answer, whatever happened.

import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore

/// Answers requests. Every request gets exactly one answer, errors too.
struct AdminResponder: Sendable {
    private let desk: AdminDesk
    private let names: HostNames

    init(_ desk: AdminDesk, names: HostNames) {
        self.desk = desk
        self.names = names
    }

    /// The answer to a request.
    ///
    /// - Throws: only what ends the connection: the body broke off, or is not HTTP.
    func respond(to request: Request) async throws -> Response {
        let id = RequestID.from(request.headers[.xRequestID])
        let outcome = await answer(request, id: id)
        var reply: Reply
        switch outcome {
        case .reply(let answered): reply = answered
        case .problem(let problem):
            reply = problem.reply(requestID: id)
            if let fault = problem.fault {
                desk.logger.error("a request failed: \(fault)", metadata: ["request_id": "\(id)"])
            }
        case .broken(let error): throw error
        }
        reply.requestID = id
        desk.logger.debug(
            "\(request.method.rawValue) \(request.head.path ?? "")",
            metadata: ["request_id": "\(id)", "status": "\(reply.status)"])
        var response = Response(status: reply.head.status, headers: reply.head.headerFields)
        if request.method != .head {
            response.body = ResponseBody(byteBuffer: ByteBuffer(bytes: reply.body))
        }
        return response
    }

    private enum Outcome {
        case reply(Reply)
        case problem(RequestProblem)
        case broken(any Error)
    }

    private func answer(_ request: Request, id: String) async -> Outcome {
        do throws(RequestProblem) {
            try checkOrigin(request)
            let target = try RequestTarget(request.head.path ?? "")
            let (endpoint, place) = try Route.find(request.method, target.path)
            let bytesMax = endpoint.bodyBytesMax
            if bytesMax != nil, !endpoint.isBodyOptional || request.hasBody {
                try checkContentType(request, endpoint)
            }
            let permit = try desk.permit(for: endpoint)
            defer { permit?.giveBack() }
            var body: [UInt8] = []
            if let bytesMax {
                switch await read(request, bytesMax: bytesMax) {
                case .success(let bytes?): body = bytes
                case .success(nil): throw .bodyTooLong(bytesMax: bytesMax)
                case .failure(let error): return .broken(error)
                }
            }
            return .reply(
                try await desk.answer(
                    endpoint,
                    AdminRequest(
                        id: id, target: target, place: place, fields: request.headers, body: body,
                        bodyBytesMax: bytesMax ?? 0)))
        } catch {
            return .problem(error)
        }
    }

    /// Refuses what was sent to another name, or by a browser on behalf of another site.
    ///
    /// A browser says where a request comes from in `Sec-Fetch-Site`, and older ones in `Origin`. Programs
    /// send neither; what they change they send as JSON, which a page cannot do unasked.
    private func checkOrigin(_ request: Request) throws(RequestProblem) {
        guard request.headers[.secondHost] == nil, let authority = request.head.authority, !authority.isEmpty
        else {
            throw .badHeader("Host", problem: "it must be there once")
        }
        guard names.contain(authority) else { throw .foreignHost(String(authority.prefix(200))) }
        if let site = request.headers[.secFetchSite] {
            guard site == "same-origin" || site == "none" else {
                throw .foreignSite(header: "Sec-Fetch-Site", value: site)
            }
        } else if let origin = request.headers[.origin] {
            guard origin.lowercased() == "http://" + authority.lowercased() else {
                throw .foreignSite(header: "Origin", value: origin)
            }
        }
    }

    private func checkContentType(_ request: Request, _ endpoint: Endpoint) throws(RequestProblem) {
        let wanted = endpoint.isFile ? "text/csv" : "application/json"
        let found = request.headers[.contentType]
        let type = found?.prefix { $0 != ";" }.trimmingPrefix { $0 == " " }
        guard let type, type.lowercased().split(separator: " ").first.map({ $0 == wanted }) ?? false
        else {
            throw endpoint.isFile ? .notCSV(contentType: found) : .notJSON(contentType: found)
        }
    }

    /// The body; nil if it is longer than `bytesMax`.
    private func read(_ request: Request, bytesMax: Int) async -> Result<[UInt8]?, any Error> {
        if let length = request.headers[.contentLength], let length = Int(length), length > bytesMax {
            return .success(nil)
        }
        var bytes: [UInt8] = []
        do {
            for try await buffer in request.body {
                guard bytes.count + buffer.readableBytes <= bytesMax else { return .success(nil) }
                bytes.append(contentsOf: buffer.readableBytesView)
            }
            return .success(bytes)
        } catch {
            return .failure(error)
        }
    }
}

extension Request {
    /// Whether the head announces a body.
    fileprivate var hasBody: Bool {
        headers[.transferEncoding] != nil || headers[.contentLength].map { $0 != "0" } ?? false
    }
}
