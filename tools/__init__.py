"""What a node can reach outside the graph: one package a capability, a small protocol (the port) with its adapters.

The four modules that lie here and not in a package (`errors`, `canonical`, `principal`, `record`) are shared ground:
`policies` may import the first three and nothing else of `tools`.
"""
