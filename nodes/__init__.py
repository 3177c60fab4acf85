"""One hop a module: a frozen dataclass whose fields are what the hop needs, called with state, runtime and config.

A node reads its options from `runtime.context` and its caller from `Callers`; it holds no telemetry (the recorder wears
it), no routing (that is pure and lives beside the graph) and no draft outside the vault.
"""
