// How a large value stays where it is while functions read it.

import Synchronization

/// Makes the value that has it as a field be lent by its address, whatever its size. Takes one byte.
///
/// The compiler lends a value that registers could hold by handing over its parts; for one of many hundred bytes
/// it makes a copy of all of them, for each call of a function that only reads. An atomic has no parts to be
/// handed over, so neither has what contains one.
public struct LentByAddress: ~Copyable, Sendable {
    private let place = Atomic<UInt8>(0)

    public init() {}
}
