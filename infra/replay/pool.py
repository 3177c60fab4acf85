"""What answers a counterfactual replay: the record where the request is unchanged, else the ports of now, marked."""

from collections import defaultdict, deque
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

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
    _kept: dict[tuple[str, str, str], deque[str]] = field(default_factory=lambda: defaultdict(deque))
    _failures: dict[str, deque[str]] = field(default_factory=lambda: defaultdict(deque))
    _failure: str = ""

    def fill(self, line: Sequence[Unfolded]) -> None:
        """Take in the effects of `line`, oldest first."""
        for one in line:
            hop = one.body["hop"]
            self._failures[hop].append(str(one.body["decision"].get("failure") or ""))
            for effect in sorted(one.body["effects"], key=lambda effect: int(effect["n"])):
                self._kept[hop, effect["kind"], effect["request"]].append(effect["response"])

    def begin(self, hop: str) -> None:
        """A hop begins."""
        self.marks = []
        failures = self._failures[hop]
        self._failure = failures.popleft() if failures else ""

    def has_more(self, hop: str, kind: str) -> bool:
        """Whether the record holds another answer of that kind that the hop has not had yet."""
        return any(key[:2] == (hop, kind) and answers for key, answers in self._kept.items())

    async def answer(self, step: Step, kind: str, request: bytes, call: Coroutine[Any, Any, Any]) -> Any:
        """See `From`. Raises what was raised then, LiveRefused, or what the port of now raises."""
        hop = step.hop.name
        answers = self._kept.get((hop, kind, digest(request, step.run.mac)))
        if answers and kind not in self.again:
            with suppress(OtherForm):  # what cannot be read any more is asked like what was never asked
                return self._kept_answer(kind, request, answers.popleft(), call)
        if kind in _IN_PLACE:
            self._mark(kind, _IN_PLACE[kind])
            return await call
        if self._failure in (f"{hop}_timeout", f"{hop}_failed") and kind not in self.again:
            call.close()  # what it asked last is not in the record: it fails as it did
            self._mark(kind, "record")
            raise TimeoutError if self._failure == f"{hop}_timeout" else RuntimeError("as recorded")
        over = self.spent.over() if self.live else "nothing may be asked live"
        if over:
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
