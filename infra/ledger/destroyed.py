"""Contents that cannot be read any more: erased by right, lost, or destroyed by somebody who had no right to.

By right means that an act of the chain names the key, and that the key was destroyed at the time of that act: both are
one transaction. The chain covers contents as they lie, so it holds in each case.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

DESTROYING = ("erase", "retention")
"""Kinds of acts that destroy keys; their detail lists them under `keys`."""


class KeyState(NamedTuple):
    """A key under which contents lie."""

    id: str
    frames: int
    """How many contents."""
    run: str
    """One of the runs."""
    there: bool
    """Whether the database knows the key."""
    erased: bool
    at: int | None
    """When it was destroyed, in microseconds."""
    master: str | None
    """Name of the key that wraps it."""
    above: str | None = None
    """Name of the key that wraps the person's key of digests; None where that is not there."""
    opens: bool = True
    """False where the master key is here, and what it wraps is not this key, or not the person's key of digests."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What cannot be read, and why."""

    erased: int
    """Contents whose key was destroyed by right."""
    lost: int
    """Contents whose key, or the master key above it, is not here. A backup may have it."""
    broken: Sequence[tuple[str, str]]
    """(run, what) where a key was destroyed, altered, or brought back, without right."""


def judged(keys: Iterable[KeyState], acts: Iterable[Mapping[str, Any]], masters: Collection[str]) -> Unreadable:
    """Tell the cases apart. `acts`: records of an export, of the kinds `DESTROYING`."""
    named = _named(acts)
    erased = lost = 0
    broken: list[tuple[str, str]] = []
    for key in keys:
        act = named.get(key.id)
        if act is not None and not key.there:
            erased += key.frames
        elif act is not None and not key.erased:
            broken.append((key.run, f"key {key.id}, which was erased, is back: was the database restored?"))
        elif key.erased and act != key.at:
            broken.append((key.run, f"the contents' key {key.id} was destroyed without an act that says so"))
        elif key.erased:
            erased += key.frames
        elif any(name not in masters for name in _wrapping(key)):
            lost += key.frames
        elif not key.opens:
            broken.append((key.run, f"the contents' key {key.id} was altered, and opens nothing"))
    return Unreadable(erased, lost, broken)


def _wrapping(key: KeyState) -> Iterator[str]:
    """Names of the master keys without which the contents cannot be read, or their digests not be made."""
    yield str(key.master) if key.there else key.id
    if key.above is not None:
        yield key.above


def erased_in(records: Iterable[Mapping[str, Any]]) -> int:
    """Contents in an export whose key one of its acts names as destroyed: nobody can read them, with whatever keys."""
    acts, frames = list[Mapping[str, Any]](), Counter[str]()
    for one in records:
        if one["t"] == "act" and one["kind"] in DESTROYING:
            acts.append(one)
        elif one["t"] == "frame" and one["data"]:
            frames[one["key"]] += 1
    return sum(frames[key] for key in _named(acts))


def _named(acts: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """When acts have destroyed which key. What is no act of fiel's, the chain says."""
    out: dict[str, int] = {}
    for act in acts:
        try:
            body = orjson.loads(act["body"])
            out |= {str(key): body["at"] for key in body["detail"].get("keys", ())}
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
    return out
