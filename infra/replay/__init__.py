"""Replay: a recorded run goes through the graph again, every effect served from its record, and is compared.

`record` reads a run, `served` answers from it what `responses` decode. `stage` is the graph, built once; `rehearse`
records what its `hops` do, `walk` goes through them, and `compare` names where the bytes differ.
"""
