"""Recorders of a process: one for fiel's own graph, and one for each other graph over the same ledger."""

from collections.abc import Callable
from typing import Any

from fiel.infra.ledger.keys import Cipher
from fiel.infra.ledger.recorder import LedgerRecorder
from fiel.infra.ledger.store import Store
from fiel.policies.types import Policies
from fiel.tools.record import Callers


def redaction(policies: Policies) -> Callable[[str], str]:
    """Masks in a text what the bundle `default` masks: what spans and traces may show."""
    return lambda text: policies.redact(policies.bundle("default"), text)


def recording(store: Store, cipher: Cipher, callers: Callers, policies: Policies, **more: Any) -> LedgerRecorder:
    """A recorder whose spans show what the bundle `default` leaves of a text; `more` as `LedgerRecorder` takes it."""
    return LedgerRecorder(store, cipher, callers, redact=redaction(policies), **more)
