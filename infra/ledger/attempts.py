"""Attempts: a run whose process died is taken up again, and each attempt has a chain and a trace of its own.

Their ids follow from the run's, so whoever has the run's id finds them all.
"""

from uuid import UUID, uuid5

MOST = 3
"""How often a run is begun, where processes die over it."""


def attempt_id(run: str, attempt: int) -> UUID:
    """What traces and the ledger call an attempt, counted from 1: the first one by the run's own id."""
    return UUID(run) if attempt == 1 else uuid5(UUID(run), f"attempt {attempt}")


def attempts(run: str) -> list[str]:
    """The ids of all attempts that a run may have had, the first one first."""
    return [str(attempt_id(run, number)) for number in range(1, MOST + 1)]
