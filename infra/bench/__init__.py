"""Benchmarks: each prints a table, writes JSON, and stands next to its floor or peer in the same run."""
