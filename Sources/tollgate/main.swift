// `tollgate`: the one binary. Everything it can do is a subcommand; see Tollgate.swift.

await Tollgate.runToExit()
