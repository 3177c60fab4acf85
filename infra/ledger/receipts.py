"""Receipts of spans: the digest of every span that left for MLflow, kept among the contents of its run.

Contents are covered by the chain and lie under the subject's key, so a span that is altered later is found, and nobody
can guess a short text from its digest.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import orjson

from fiel.infra.ledger.encode import digest
from fiel.infra.telemetry import otlp

_MARK = b"\0receipts of spans\0"
"""No JSON begins so: whoever asks or answers cannot write what would be taken for a receipt."""


class Receipt(NamedTuple):
    """What is kept of a span."""

    span: str
    """Its id, 16 hexadecimal digits."""
    name: str
    digest: str
    """Of the span as it was serialised."""


def receipt(span: bytes, key: bytes) -> Receipt:
    """The receipt of a serialised span, under the key of its run's digests."""
    return Receipt(*otlp.identity(span), digest(span, key))


def packed(receipts: Iterable[Receipt]) -> bytes:
    """Receipts as one content of a run."""
    return _MARK + orjson.dumps([list(one) for one in receipts])


def receipts(contents: Mapping[str, bytes]) -> dict[str, Receipt]:
    """Those among the contents of a run, oldest first, by span. A span that was written again has its last one."""
    found = (content[len(_MARK) :] for content in contents.values() if content.startswith(_MARK))
    return {span: Receipt(span, name, digest) for each in found for span, name, digest in orjson.loads(each)}
