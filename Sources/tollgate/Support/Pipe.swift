// A pipe that children do not inherit, unless an end is given to them by name.

import Glibc
import Platform

struct Pipe {
    let outlet: CInt
    let inlet: CInt

    init() throws(FileError) {
        var ends: [CInt] = [-1, -1]
        guard unsafe pipe(&ends) == 0 else { throw FileError(call: "pipe", path: "pipe", code: errno) }
        for end in ends {
            guard fcntl(end, F_SETFD, FD_CLOEXEC) == 0 else {
                throw FileError(call: "fcntl", path: "pipe", code: errno)
            }
        }
        (outlet, inlet) = (ends[0], ends[1])
    }
}
