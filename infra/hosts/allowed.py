"""What an ordinary caller may see of the answer graph's state: an allow-list of channels, each by its own rule.

Whatever has no rule does not exist, and a value that is not what its rule expects does not either.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, get_args

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from fiel.graphs.answer.hops import HOPS
from fiel.graphs.answer.state import Outcome
from fiel.nodes.base import text_of

OUTCOMES = frozenset(get_args(Outcome))
ENDS = frozenset(name for name, hop in HOPS.items() if hop.terminal) | {"hold"}
"""The hops that speak to the caller: those that end a run, and the one that says that a person reviews."""
ANSWERED = "answered"
_ASKING = (None, "__start__", "guard_input")
"""Where the caller's own words come from: the state, the input, and the hop that redacts them."""

_CODE = re.compile(r"[A-Za-z0-9_.:@/+-]{0,160}")
"""Names, versions, digests, decimal numbers: nothing in which a sentence stands."""
_CITATION = ("marker", "document", "uri", "version", "chunk", "quote", "start", "end", "redacted")
_VERDICT = ("check", "stage", "version", "action", "score", "threshold", "reason")
_SPAN = ("part", "start", "end", "kind")
_SENTENCE = ("text", "label", "score", "citations")
_NOTHING = object()


def channels(values: Any, writer: str | None = None) -> dict[str, Any]:
    """What is shown of a state, or of what one hop (`writer`) wrote into it."""
    if not isinstance(values, Mapping):
        return {}
    outcome = values.get("outcome")
    if not isinstance(outcome, str) or outcome not in OUTCOMES or writer not in (None, *ENDS):
        outcome = None
    shown = {name: rule(values[name], outcome, writer) for name, rule in _RULES.items() if name in values}
    if writer in (None, *ENDS) and _begun(values):
        shown |= {name: rule(values[name]) for name, rule in _BEGUN.items() if name in values}
    return {name: value for name, value in shown.items() if value is not _NOTHING}


def _begun(values: Mapping[str, Any]) -> bool:
    """Whether a part of the answer has been released: `release` has written down which."""
    window = values.get("window")
    return isinstance(window, Mapping) and bool(code(window.get("shown")))


def said(message: Any) -> AIMessage | None:
    """A message in which fiel ended a run, rebuilt from what may be in it; None for any other."""
    if not isinstance(message, AIMessage) or not isinstance(message.content, str):
        return None
    facts = message.response_metadata
    if facts.get("outcome") not in OUTCOMES or message.id != f"{facts.get('run_id')}:answer":
        return None
    kept = {key: code(facts[key]) for key in ("outcome", "reason", "run_id") if key in facts}
    return AIMessage(content=message.content, id=message.id, response_metadata=kept)


def code(value: Any) -> str:
    """A name or number; empty for anything in which words could stand."""
    return value if isinstance(value, str) and _CODE.fullmatch(value) else ""


def plain(value: Any) -> Any:
    """A code, a number, a truth value or nothing; codes and numbers inside lists and objects."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items() if code(key)}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return code(value)


def _messages(value: Any, outcome: Any, writer: str | None) -> Any:
    given = value if isinstance(value, list | tuple) else [value]
    return [shown for one in given if (shown := _message(one, writer)) is not None]


def _message(message: Any, writer: str | None) -> BaseMessage | None:
    if isinstance(message, HumanMessage):
        text = text_of(message) if writer in _ASKING else None
        return None if text is None else HumanMessage(content=text, id=message.id)
    return said(message) if writer is None or writer in ENDS else None


def _text(value: Any, outcome: Any, writer: str | None) -> Any:
    return value if isinstance(value, str) and writer in _ASKING else _NOTHING


def _plainly(value: Any, outcome: Any, writer: str | None) -> Any:
    return plain(value)


def _outcome(value: Any, outcome: Any, writer: str | None) -> Any:
    return outcome


def _answer(value: Any, outcome: Any, writer: str | None) -> Any:
    return value if outcome and isinstance(value, str) else ""


def _citations(value: Any, outcome: Any, writer: str | None) -> Any:
    return _kept(value, _CITATION) if outcome == ANSWERED else []


def _judgement(value: Any, outcome: Any, writer: str | None) -> Any:
    if outcome != ANSWERED or not isinstance(value, Mapping):
        return {}
    facts = {key: plain(one) for key, one in value.items() if key != "sentences"}
    return {**facts, "sentences": _kept(value.get("sentences"), _SENTENCE)}


def _verdicts(value: Any, outcome: Any, writer: str | None) -> Any:
    if not isinstance(value, list | tuple):
        return []
    return [
        {
            **{key: plain(one[key]) for key in _VERDICT if key in one},
            "spans": plain(_kept(one.get("spans"), _SPAN)) if outcome == ANSWERED else [],
        }
        for one in value
        if isinstance(one, Mapping)
    ]


def _kept(value: Any, keys: tuple[str, ...]) -> list[dict[str, Any]]:
    """The objects of a list, with nothing in them but these keys."""
    if not isinstance(value, list | tuple):
        return []
    return [{key: one[key] for key in keys if key in one} for one in value if isinstance(one, Mapping)]


_BEGUN: dict[str, Callable[[Any], Any]] = {
    "answer": lambda value: value if isinstance(value, str) else "",
    "citations": lambda value: _kept(value, _CITATION),
}
"""What is shown of an answer that has begun to be released, whatever becomes of the rest."""

_RULES: dict[str, Callable[[Any, Any, str | None], Any]] = {
    "messages": _messages,
    "question": _text,
    "language": _plainly,
    "attempt": _plainly,
    "versions": _plainly,
    "usage": _plainly,
    "reason": _plainly,
    "outcome": _outcome,
    "answer": _answer,
    "citations": _citations,
    "judgement": _judgement,
    "verdicts": _verdicts,
}
