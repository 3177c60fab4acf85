"""The ledger: what each hop of each run was given, did and decided, hash-chained, in PostgreSQL.

`recorder` wears the hops, `effects` wraps the ports, `writer` groups the commits of many runs into one statement,
`store` keeps them (PostgreSQL, with a twin in memory), `keys` encrypts what was said.
"""
