"""Where the servers are known to differ. Each entry is held to: one that is not true any more fails the suite."""

ORACLE = {
    "threads: create and get": "a thread without runs has no key `interrupts`",
    "threads: create with a time to live": "its in-memory runtime keeps no time to live",
    "threads: update the time to live": "its in-memory runtime keeps no time to live",
    "threads: a thread lives as long as its time": "its in-memory runtime keeps no time to live",
    "threads: search by values": "answers 500 where any thread has no values",
    "threads: count": "answers 500 where any thread has no values",
    "threads: prune to the latest state": "its in-memory runtime refuses keep_latest",
    "state: select": "ignores `select`",
    "history: select": "ignores `select`",
    "history: before a checkpoint": "answers 500 to `before` as the SDK sends it",
    "runs: a command and an input": "takes both, and leaves the input out",
    "stream: of a thread's runs": "reads the query `stream_modes`; the SDK sends `stream_mode`",
    "store: put again": "gives an item that is updated another `created_at`",
    "store: a time to live": "its in-memory runtime keeps no time to live",
}
"""Checks that `langgraph dev` (langgraph-api 0.16.7) does not pass, and why."""

MISSING: dict[str, str] = {}
"""Checks of what fiel does not serve yet, and why: they are told as missing, and fail as soon as they pass."""
