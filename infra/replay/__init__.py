"""Replay: a recorded run goes through the graph again, every effect served from its record, and is compared.

`record` reads a run, `responses` decode what was answered, `served` serves it, `walk` goes through the graph's own hops
and branches, `compare` names where the bytes differ.
"""
