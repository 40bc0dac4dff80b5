// Calls to the server, written as frames: the client's half of the encoder.

import Bytes
import CTollgateProtos
import Ledger
import Pricing

extension FrameEncoder {
    /// Appends a report.
    ///
    /// - Parameter timeoutMilliseconds: how long the caller will wait; 0 for as long as it takes.
    @inlinable
    public func append<Output: OutputBuffer>(
        report record: borrowing UsageRecord, callID: UInt64, timeoutMilliseconds: UInt32 = 0,
        to output: inout Output
    ) {
        prepare(report: record, callID, timeoutMilliseconds)
        emit(to: &output)
    }

    /// Appends a batch of reports: `count` of them, each written by `record` into the slot it is lent.
    ///
    /// - Precondition: `count` is within `1...WireLimits.batchRecordsMax`.
    @inlinable
    public func append<Output: OutputBuffer>(
        reportBatchOf count: Int, callID: UInt64, timeoutMilliseconds: UInt32 = 0,
        to output: inout Output, record: (Int, inout UsageRecord) -> Void
    ) {
        prepareReportBatch(count, callID, timeoutMilliseconds, record)
        emit(to: &output)
    }

    /// Appends a request for a quote.
    @inlinable
    public func append<Output: OutputBuffer>(
        quote record: borrowing UsageRecord, _ options: QuoteOptions = [], callID: UInt64,
        timeoutMilliseconds: UInt32 = 0, to output: inout Output
    ) {
        prepare(quote: record, options, callID, timeoutMilliseconds)
        emit(to: &output)
    }

    /// Appends a request for a balance.
    @inlinable
    public func append<Output: OutputBuffer>(
        balanceOf account: ByteView, callID: UInt64, timeoutMilliseconds: UInt32 = 0,
        to output: inout Output
    ) {
        prepare(balanceOf: account, callID, timeoutMilliseconds)
        emit(to: &output)
    }

    /// Appends a request for a hold; `record` is the usage to be priced where the terms have no amount.
    @inlinable
    public func append<Output: OutputBuffer>(
        hold terms: HoldTerms, record: borrowing UsageRecord, tags: ByteView = ByteView(), callID: UInt64,
        timeoutMilliseconds: UInt32 = 0, to output: inout Output
    ) {
        prepare(hold: terms, record, tags, callID, timeoutMilliseconds)
        emit(to: &output)
    }

    /// Appends a settlement: the record's `holdID` says of what.
    @inlinable
    public func append<Output: OutputBuffer>(
        settle record: borrowing UsageRecord, callID: UInt64, timeoutMilliseconds: UInt32 = 0,
        to output: inout Output
    ) {
        prepare(settle: record, callID, timeoutMilliseconds)
        emit(to: &output)
    }

    /// Appends a request to release a hold.
    @inlinable
    public func append<Output: OutputBuffer>(
        void call: VoidCall, callID: UInt64, timeoutMilliseconds: UInt32 = 0, to output: inout Output
    ) {
        prepare(void: call, callID, timeoutMilliseconds)
        emit(to: &output)
    }

    /// Appends a request to prolong a hold.
    @inlinable
    public func append<Output: OutputBuffer>(
        extend call: ExtendCall, callID: UInt64, timeoutMilliseconds: UInt32 = 0, to output: inout Output
    ) {
        prepare(extend: call, callID, timeoutMilliseconds)
        emit(to: &output)
    }

    /// Appends a heartbeat.
    @inlinable
    public func append<Output: OutputBuffer>(
        ping payload: ByteView, callID: UInt64, to output: inout Output
    ) {
        prepare(ping: payload, callID)
        emit(to: &output)
    }

    @usableFromInline
    func prepare(report record: borrowing UsageRecord, _ callID: UInt64, _ timeout: UInt32) {
        let client = unsafe makeClientFrame(callID, timeout)
        unsafe client.pointee.call_case = TOLLGATE__V1__CLIENT_FRAME__CALL_REPORT
        unsafe client.pointee.report = makeRecord(record)
    }

    @usableFromInline
    func prepareReportBatch(
        _ count: Int, _ callID: UInt64, _ timeout: UInt32, _ record: (Int, inout UsageRecord) -> Void
    ) {
        precondition(count >= 1 && count <= WireLimits.batchRecordsMax)
        let client = unsafe makeClientFrame(callID, timeout)
        let batch = unsafe make(Tollgate__V1__ReportBatchRequest.self)
        unsafe tollgate__v1__report_batch_request__init(batch)
        let rows = unsafe make(UnsafeMutablePointer<Tollgate__V1__UsageRecord>?.self, count: count)
        var slot = UsageRecord()
        for index in 0..<count {
            record(index, &slot)
            unsafe rows[index] = makeRecord(slot)
        }
        unsafe batch.pointee.n_records = count
        unsafe batch.pointee.records = rows
        unsafe client.pointee.call_case = TOLLGATE__V1__CLIENT_FRAME__CALL_REPORT_BATCH
        unsafe client.pointee.report_batch = batch
    }

    @usableFromInline
    func prepare(
        quote record: borrowing UsageRecord, _ options: QuoteOptions, _ callID: UInt64, _ timeout: UInt32
    ) {
        let client = unsafe makeClientFrame(callID, timeout)
        let quote = unsafe make(Tollgate__V1__QuoteRequest.self)
        unsafe tollgate__v1__quote_request__init(quote)
        unsafe quote.pointee.usage = makeRecord(record)
        unsafe quote.pointee.compare = options.contains(.compare) ? 1 : 0
        unsafe quote.pointee.brief = options.contains(.brief) ? 1 : 0
        unsafe client.pointee.call_case = TOLLGATE__V1__CLIENT_FRAME__CALL_QUOTE
        unsafe client.pointee.quote = quote
    }

    @usableFromInline
    func prepare(balanceOf account: ByteView, _ callID: UInt64, _ timeout: UInt32) {
        let client = unsafe makeClientFrame(callID, timeout)
        let request = unsafe make(Tollgate__V1__BalanceRequest.self)
        unsafe tollgate__v1__balance_request__init(request)
        unsafe request.pointee.account = binary(account)
        unsafe client.pointee.call_case = TOLLGATE__V1__CLIENT_FRAME__CALL_GET_BALANCE
        unsafe client.pointee.get_balance = request
    }

    @usableFromInline
    func prepare(
        hold terms: HoldTerms, _ record: borrowing UsageRecord, _ tags: ByteView, _ callID: UInt64,
        _ timeout: UInt32
    ) {
        let client = unsafe makeClientFrame(callID, timeout)
        let hold = unsafe make(Tollgate__V1__HoldRequest.self)
        unsafe tollgate__v1__hold_request__init(hold)
        unsafe hold.pointee.hold_id = binary(terms.holdID)
        unsafe hold.pointee.account = binary(terms.account)
        unsafe hold.pointee.credential_source = Tollgate__V1__CredentialSource(
            rawValue: UInt32(terms.source.rawValue))
        if let amount = terms.amount {
            unsafe hold.pointee.has_amount_case = TOLLGATE__V1__HOLD_REQUEST__HAS_AMOUNT_AMOUNT
            unsafe hold.pointee.amount = amount
        } else {
            unsafe hold.pointee.usage = makeRecord(record)
        }
        unsafe hold.pointee.policy = Tollgate__V1__HoldPolicy(rawValue: UInt32(terms.policy.rawValue))
        unsafe hold.pointee.lease_ms = terms.leaseMilliseconds
        unsafe hold.pointee.orphan_policy = Tollgate__V1__OrphanPolicy(
            rawValue: UInt32(terms.orphanPolicy?.rawValue ?? 0))
        if !tags.isEmpty {
            let packed = unsafe makeTags(tags)
            unsafe hold.pointee.n_tags = packed.count
            unsafe hold.pointee.tags = packed.tags
        }
        unsafe client.pointee.call_case = TOLLGATE__V1__CLIENT_FRAME__CALL_HOLD
        unsafe client.pointee.hold = hold
    }

    @usableFromInline
    func prepare(settle record: borrowing UsageRecord, _ callID: UInt64, _ timeout: UInt32) {
        let client = unsafe makeClientFrame(callID, timeout)
        let settle = unsafe make(Tollgate__V1__SettleRequest.self)
        unsafe tollgate__v1__settle_request__init(settle)
        unsafe settle.pointee.hold_id = binary(record.holdID)
        unsafe settle.pointee.usage = makeRecord(record)
        unsafe client.pointee.call_case = TOLLGATE__V1__CLIENT_FRAME__CALL_SETTLE
        unsafe client.pointee.settle = settle
    }

    @usableFromInline
    func prepare(void call: VoidCall, _ callID: UInt64, _ timeout: UInt32) {
        let client = unsafe makeClientFrame(callID, timeout)
        let void = unsafe make(Tollgate__V1__VoidRequest.self)
        unsafe tollgate__v1__void_request__init(void)
        unsafe void.pointee.hold_id = binary(call.holdID)
        unsafe void.pointee.account = binary(call.account)
        unsafe void.pointee.reason = binary(call.reason)
        unsafe client.pointee.call_case = TOLLGATE__V1__CLIENT_FRAME__CALL_VOID
        unsafe client.pointee.void_ = void
    }

    @usableFromInline
    func prepare(extend call: ExtendCall, _ callID: UInt64, _ timeout: UInt32) {
        let client = unsafe makeClientFrame(callID, timeout)
        let extend = unsafe make(Tollgate__V1__ExtendRequest.self)
        unsafe tollgate__v1__extend_request__init(extend)
        unsafe extend.pointee.hold_id = binary(call.holdID)
        unsafe extend.pointee.account = binary(call.account)
        unsafe extend.pointee.lease_ms = call.leaseMilliseconds
        if let amount = call.amount {
            unsafe extend.pointee.has_amount_case = TOLLGATE__V1__EXTEND_REQUEST__HAS_AMOUNT_AMOUNT
            unsafe extend.pointee.amount = amount
        }
        unsafe client.pointee.call_case = TOLLGATE__V1__CLIENT_FRAME__CALL_EXTEND
        unsafe client.pointee.extend = extend
    }

    @usableFromInline
    func prepare(ping payload: ByteView, _ callID: UInt64) {
        let client = unsafe makeClientFrame(callID, 0)
        let ping = unsafe make(Tollgate__V1__Ping.self)
        unsafe tollgate__v1__ping__init(ping)
        unsafe ping.pointee.payload = binary(payload)
        unsafe client.pointee.call_case = TOLLGATE__V1__CLIENT_FRAME__CALL_PING
        unsafe client.pointee.ping = ping
    }

    /// A `ClientFrame` without a call, remembered as what is to be packed.
    private func makeClientFrame(
        _ callID: UInt64, _ timeout: UInt32
    ) -> UnsafeMutablePointer<Tollgate__V1__ClientFrame> {
        arena.allow(.max)
        let client = unsafe make(Tollgate__V1__ClientFrame.self)
        unsafe tollgate__v1__client_frame__init(client)
        unsafe client.pointee.call_id = callID
        unsafe client.pointee.timeout_ms = timeout
        unsafe bareMessage = UnsafeMutableRawPointer(client)
        prepared = .clientFrame
        return unsafe client
    }

    private func makeRecord(
        _ record: borrowing UsageRecord
    ) -> UnsafeMutablePointer<Tollgate__V1__UsageRecord> {
        let usage = unsafe make(Tollgate__V1__UsageRecord.self)
        unsafe tollgate__v1__usage_record__init(usage)
        unsafe usage.pointee.request_id = binary(record.requestID)
        unsafe usage.pointee.account = binary(record.account)
        unsafe usage.pointee.credential_source = Tollgate__V1__CredentialSource(
            rawValue: UInt32(record.credentialSource?.rawValue ?? 0))
        unsafe usage.pointee.provider = binary(record.provider)
        unsafe usage.pointee.model = binary(record.model)
        unsafe usage.pointee.service_tier = binary(record.serviceTier)
        unsafe set(usage, to: record.usage)
        unsafe usage.pointee.event_time = record.eventTime.microseconds
        unsafe usage.pointee.usage_source = Tollgate__V1__UsageSource(
            rawValue: UInt32(record.usageSource.rawValue))
        unsafe usage.pointee.outcome = Tollgate__V1__Outcome(rawValue: UInt32(record.outcome.rawValue))
        unsafe usage.pointee.on_insufficient = Tollgate__V1__OnInsufficient(
            rawValue: UInt32(record.onInsufficient.rawValue))
        unsafe usage.pointee.requested_provider = binary(record.requestedProvider)
        unsafe usage.pointee.requested_model = binary(record.requestedModel)
        unsafe usage.pointee.requested_service_tier = binary(record.requestedServiceTier)
        unsafe usage.pointee.hold_id = binary(record.holdID)
        unsafe usage.pointee.quote_token = binary(record.quoteToken)
        if let cost = record.providerReportedCost {
            unsafe usage.pointee.has_provider_reported_cost_case =
                TOLLGATE__V1__USAGE_RECORD__HAS_PROVIDER_REPORTED_COST_PROVIDER_REPORTED_COST
            unsafe usage.pointee.provider_reported_cost = cost
        }
        if !record.tags.isEmpty { unsafe setTags(usage, to: record.tags) }
        return unsafe usage
    }

    /// The counts. They are non-negative in a valid record; another is sent as 2^64 - 1, to be refused.
    private func set(_ message: UnsafeMutablePointer<Tollgate__V1__UsageRecord>, to usage: Usage) {
        unsafe message.pointee.input_tokens = count(usage.inputTokens)
        unsafe message.pointee.output_tokens = count(usage.outputTokens)
        unsafe message.pointee.cache_read_tokens = count(usage.cacheReadTokens)
        unsafe message.pointee.cache_write_5m_tokens = count(usage.cacheWrite5mTokens)
        unsafe message.pointee.cache_write_1h_tokens = count(usage.cacheWrite1hTokens)
        unsafe message.pointee.input_audio_tokens = count(usage.inputAudioTokens)
        unsafe message.pointee.input_image_tokens = count(usage.inputImageTokens)
        unsafe message.pointee.reasoning_tokens = count(usage.reasoningTokens)
        unsafe message.pointee.output_audio_tokens = count(usage.outputAudioTokens)
        unsafe message.pointee.output_image_tokens = count(usage.outputImageTokens)
        unsafe message.pointee.images = count(usage.images)
        unsafe message.pointee.web_searches = count(usage.webSearches)
        unsafe message.pointee.seconds = count(usage.seconds)
        unsafe message.pointee.pages = count(usage.pages)
        unsafe message.pointee.characters = count(usage.characters)
        unsafe message.pointee.requests = count(usage.requests)
    }

    private func count(_ value: Int64) -> UInt64 { value < 0 ? .max : UInt64(value) }

    private func setTags(_ message: UnsafeMutablePointer<Tollgate__V1__UsageRecord>, to packed: ByteView) {
        let made = unsafe makeTags(packed)
        unsafe message.pointee.n_tags = made.count
        unsafe message.pointee.tags = made.tags
    }

    private func makeTags(
        _ packed: ByteView
    ) -> (count: Int, tags: UnsafeMutablePointer<UnsafeMutablePointer<Tollgate__V1__Tag>?>) {
        let count = TagList(packed).reduce(0) { count, _ in count + 1 }
        let tags = unsafe make(UnsafeMutablePointer<Tollgate__V1__Tag>?.self, count: count)
        for (index, entry) in TagList(packed).enumerated() {
            let tag = unsafe make(Tollgate__V1__Tag.self)
            unsafe tollgate__v1__tag__init(tag)
            unsafe tag.pointee.key = binary(entry.name)
            unsafe tag.pointee.value = binary(entry.value)
            unsafe tags[index] = tag
        }
        return unsafe (count, tags)
    }
}
