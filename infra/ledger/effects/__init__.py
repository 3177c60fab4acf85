"""Ports that record what they were asked and what they answered, in the hop that asked.

Each wrapper is the port it wraps, so no node knows of it. A request is its canonical form, a response what a strict
replay needs to answer the same again; both are kept by digest, once a run. An error is a response too. Outside a hop
(ingest, set-up) a wrapper only passes on.
"""

from fiel.infra.ledger.effects.chat import RecordedChat, recorded_chats
from fiel.infra.ledger.effects.house import RecordedPolicies, RecordedReviews, RecordedSearch
from fiel.infra.ledger.effects.models import (
    RecordedEmbedder,
    RecordedGuard,
    RecordedJudge,
    RecordedReranker,
    RecordedSecond,
)
from fiel.infra.ledger.effects.record import SOURCE, Source

__all__ = [
    "SOURCE",
    "RecordedChat",
    "RecordedEmbedder",
    "RecordedGuard",
    "RecordedJudge",
    "RecordedPolicies",
    "RecordedReranker",
    "RecordedReviews",
    "RecordedSearch",
    "RecordedSecond",
    "Source",
    "recorded_chats",
]
