"""What answers a counterfactual replay: the record where the request is unchanged, else the ports of now, marked."""

from collections import defaultdict, deque
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import orjson
from langgraph.errors import GraphInterrupt

from fiel.infra.ledger.calls import HARMLESS, PREFIX
from fiel.infra.ledger.chain import Unfolded
from fiel.infra.ledger.encode import digest
from fiel.infra.ledger.run import Step
from fiel.infra.replay.record import Record
from fiel.infra.replay.responses import OtherForm, decoded
from fiel.infra.replay.spent import Spent
from fiel.tools.errors import FielError

From = Literal["record", "evaluated", "assumed", "live", "refused"]
"""Where an effect's answer is from. `evaluated`: policy checks, which are functions of their arguments; `assumed`: a
review that nobody was asked for, and that nobody has decided; `refused`: nothing may be asked live, or no more."""

Key = tuple[str, str, str]
"""Hop, kind and digest of the request."""
Kept = dict[Key, deque[str]]
"""Digests of the answers, in the order of then."""
_IN_PLACE: Mapping[str, From] = {"check": "evaluated", "review": "assumed", "ruling": "assumed"}


class LiveRefused(FielError):
    """A replay would have to ask a model or the index, and may not."""

    code = "live_refused"


@dataclass(slots=True)
class Pool:
    """The effects of a run and of those that it resumes: by hop, kind and request, each in the order of then."""

    record: Record
    again: frozenset[str]
    """Kinds that are asked anew although the record has them."""
    live: bool
    marks: list[dict[str, str]] = field(default_factory=list)
    """`{"kind", "from"}` of the hop that runs."""
    spent: Spent = field(default_factory=Spent)
    """Calls of models and of the index, and what they cost."""
    asked: set[str] = field(default_factory=set)
    """Kinds that were asked live."""
    refused: str = ""
    """Kind of the call that was refused."""
    why: str = ""
    """Why it was."""
    _kept: Kept = field(default_factory=lambda: defaultdict(deque))
    _own: Kept = field(default_factory=lambda: defaultdict(deque))
    """Of these, what the hop of then was answered for which the hop that runs stands: it comes first."""
    _failures: dict[str, deque[str]] = field(default_factory=lambda: defaultdict(deque))
    _failure: Exception | None = None
    """How the hop ended then, where nothing in the record says what it had asked last."""

    def fill(self, line: Sequence[Unfolded]) -> None:
        """Take in the effects of `line`, oldest first."""
        for one in line:
            hop = one.body["hop"]
            self._failures[hop].append(str(one.body["decision"].get("failure") or ""))
            for key, answer in _effects(one):
                self._kept[key].append(answer)

    def begin(self, hop: str) -> None:
        """A hop begins."""
        self.marks = []
        failures = self._failures[hop]
        failure = failures.popleft() if failures else ""
        ends: Mapping[str, Exception] = {f"{hop}_timeout": TimeoutError(), f"{hop}_failed": RuntimeError("as recorded")}
        self._failure = ends.get(failure)

    def part(self, one: Unfolded | None, failure: Exception | None) -> "Pool":
        """What answers a hop that may run beside others and stands for `one`. All share what no hop has taken."""
        own: Kept = defaultdict(deque)
        for key, answer in _effects(one) if one is not None else ():
            if answer in self._kept[key]:
                self._kept[key].remove(answer)
                own[key].append(answer)
        return replace(self, marks=[], _own=own, _failure=failure)

    def close(self, part: "Pool") -> None:
        """The hop of `part` has ended: what it has not asked for is for others, and what it was refused ends it all."""
        for key, answers in part._own.items():
            self._kept[key].extendleft(reversed(answers))
        if part.refused and not self.refused:
            self.refused, self.why = part.refused, part.why

    def has_more(self, hop: str, kind: str) -> bool:
        """Whether the record holds another answer of that kind that the hop has not had yet."""
        return any(key[:2] == (hop, kind) and answers for key, answers in self._kept.items())

    async def answer(self, step: Step, kind: str, request: bytes, call: Coroutine[Any, Any, Any]) -> Any:
        """See `From`. Raises what was raised then, LiveRefused, or what the port of now raises."""
        hop = step.hop.name
        key = hop, kind, digest(request, step.run.mac)
        answers = self._own.get(key) or self._kept.get(key)
        if answers and kind not in self.again:
            with suppress(OtherForm):  # what cannot be read any more is asked like what was never asked
                return self._kept_answer(kind, request, answers.popleft(), call)
        if kind in _IN_PLACE:
            self._mark(kind, _IN_PLACE[kind])
            return await call
        if self._failure is not None and kind not in self.again and self._last(kind):
            call.close()  # what it asked last is not in the record: it ends as it did
            self._mark(kind, "record")
            raise self._failure
        if over := self._over(kind):
            call.close()
            self._mark(kind, "refused")
            self.refused, self.why = self.refused or kind, self.why or over
            raise LiveRefused(f"a request of kind {kind} is not in the record, and {over}", where=hop)
        self._mark(kind, "live")
        self.spent.call()
        self.asked.add(kind)
        answer = await call
        self.spent.charge(answer)
        return answer

    def _last(self, kind: str) -> bool:
        """Whether it can have been a request of that kind that ended the hop: no port of fiel's own interrupts."""
        return kind.startswith(PREFIX) or not isinstance(self._failure, GraphInterrupt)

    def _over(self, kind: str) -> str:
        """Why nothing, or nothing of that kind, may be asked live; empty where it may."""
        if not self.live:
            return "nothing may be asked live"
        if kind.startswith(PREFIX) and not HARMLESS.get():
            return "the graph does not say that it may be called again"
        return self.spent.over()

    def _kept_answer(self, kind: str, request: bytes, answer: str, call: Coroutine[Any, Any, Any]) -> Any:
        """What was answered then. Raises what was raised then, or OtherForm, and `call` waits in that case alone."""
        try:
            found = decoded(kind, orjson.loads(request), self.record.contents[answer])
        except OtherForm:
            raise
        except FielError:
            call.close()
            self._mark(kind, "record")
            raise
        call.close()
        self._mark(kind, "record")
        return found

    def _mark(self, kind: str, source: From) -> None:
        self.marks.append({"kind": kind, "from": source})


def _effects(one: Unfolded) -> Iterator[tuple[Key, str]]:
    """The effects of an entry, equal requests in the order in which they were made, with their answers."""
    for effect in sorted(one.body["effects"], key=lambda effect: int(effect["n"])):
        yield (one.body["hop"], effect["kind"], effect["request"]), effect["response"]
