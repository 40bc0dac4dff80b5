// Tags as the hot path carries them: names and values in one run of bytes.
//
//      +--------+-----------+--------+-------------+
//      | length | name      | length | value       |  ...      lengths as in `BytePacker`
//      +--------+-----------+--------+-------------+

import Bytes

/// Reads a packed list of tags, such as `UsageRecord.tags`.
public struct TagList: Sequence, IteratorProtocol {
    private var unpacker: ByteUnpacker

    /// Reads from the beginning of `packed`.
    public init(_ packed: ByteView) { unpacker = ByteUnpacker(packed) }

    /// The next tag; nil at the end, or where the bytes are not a list of tags.
    public mutating func next() -> (name: ByteView, value: ByteView)? {
        guard !unpacker.isAtEnd else { return nil }
        do throws(UnpackingError) {
            return (try unpacker.prefixed(), try unpacker.prefixed())
        } catch {
            return nil
        }
    }
}
