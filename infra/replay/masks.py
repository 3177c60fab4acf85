"""What somebody may see of a replay: auditors read passages, and what follows from them, only where a grant says so.

Codes, scores and versions are shown to every auditor. Texts are shown where the auditor may read each document that the
run has seen, then or in the replay, and that earlier turns of its thread have seen; of other runs, only the passages of
documents that he may read.
"""

import re
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from typing import Any

from fiel.infra.replay.record import Record
from fiel.infra.replay.seen import documents_of
from fiel.infra.replay.walk import Pair, Walked
from fiel.tools.principal import Principal

Sight = Callable[[Principal, str, Collection[str]], Awaitable[frozenset[str] | None]]
"""`(who, collection, documents)`: which of the documents that caller may read now; None where the collection is none
that the caller may see."""

_CODES = re.compile(
    r"(status|hop|next hop|entry|attempt|edited|gone|request check\.bundle|effects\b.*"
    r"|(writes|decision|reads|left)\.(reason|failure|outcome|relevance|relevant|attempt|usage|versions|policy|language)\b.*"
    r"|(writes|decision)\.verdicts\[[^\]]*\]\.(check|stage|version|action|score|threshold|reason)"
    r"|(writes|decision)\.judgement\.(labels|scores|answered|satisfied)\b.*"
    r"|(writes|decision)\.(checked\.action|review\.status|review\.reason|review\.stage))"
)
"""Places that hold no text of anybody."""
_PASSAGE = re.compile(r"writes\.passages\[([^\]]*)\].*")


Before = Callable[[], Awaitable[frozenset[str] | None]]
"""Documents behind the earlier turns of the thread; None where nobody can say."""


async def masked(
    sight: Sight, principal: Principal, record: Record, found: Walked, value: dict[str, Any], before: Before
) -> dict[str, Any]:
    """`value` without the texts that `principal` may not read; where any is missing, it says `"masked": true`."""
    if principal.may("administrator"):
        return value
    earlier, seen = await before(), {*documents_of(record), *_found(found)}
    readable = await sight(principal, record.options.collection, seen | (earlier or frozenset()))
    if earlier is not None and readable is not None and seen | earlier <= readable:
        return value
    may = readable or frozenset()
    hops = [
        {**hop, "diff": [_shown(diff, pair, may) for diff in hop["diff"]]}
        for hop, pair in zip(value["hops"], found.pairs, strict=True)
    ]
    first = next(({"hop": hop["node"], **hop["diff"][0]} for hop in hops if hop["diff"]), None)
    return {**value, **_hidden(value), "hops": hops, "first_divergence": first, "masked": True}


def bare(found: Walked, value: dict[str, Any]) -> dict[str, Any]:
    """`value` without any text: of a graph that is not fiel's own nobody can say which documents its channels hold."""
    hops = [{**hop, "diff": [_place(diff) for diff in hop["diff"]]} for hop in value["hops"]]
    first = next(({"hop": hop["node"], **hop["diff"][0]} for hop in hops if hop["diff"]), None)
    return {**value, **_hidden(value), "hops": hops, "first_divergence": first, "masked": True}


def _hidden(value: dict[str, Any]) -> dict[str, Any]:
    """In the place of the answers, where the replay has any."""
    return {"answer": {"recorded": None, "replayed": None}} if "answer" in value else {}


def _found(found: Walked) -> Iterator[str]:
    """Every document of which a passage stood in the state of the replay."""
    for now in (pair[1] for pair in found.pairs if pair[1] is not None):
        for part in ("reads", "writes"):
            if digest := now.body[part].get("passages"):
                yield from (passage["document"] for passage in now.value(digest) or ())


def _shown(diff: Mapping[str, Any], pair: Pair, readable: Collection[str]) -> dict[str, Any]:
    """A difference with its values, or its place alone, down to the channel."""
    if _CODES.fullmatch(diff["what"]):
        return dict(diff)
    if passage := _PASSAGE.fullmatch(diff["what"]):
        documents = _at(pair, passage[1])
        if documents and documents <= set(readable):
            return dict(diff)
    return _place(diff)


def _place(diff: Mapping[str, Any]) -> dict[str, Any]:
    """Where a difference is, down to the channel."""
    place = ".".join(diff["what"].split("[")[0].split(".")[:2])
    return {"what": place, "recorded": None, "replayed": None, "masked": True}


def _at(pair: Pair, name: str) -> set[str | None]:
    """The documents whose passages stand then and now at that place, or under that chunk; None where one has none."""
    found: set[str | None] = set()
    for left in pair:
        digest = left.body["writes"].get("passages") if left is not None else None
        passages = (left.value(digest) if left is not None and digest else None) or []
        if name.isdecimal():
            index = int(name)
            found.add(passages[index]["document"] if index < len(passages) else None)
        else:
            found |= {passage["document"] for passage in passages if passage["chunk"] == name}
    return found
