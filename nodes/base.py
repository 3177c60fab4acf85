"""What the nodes share: types of their calls, the words of a turn, verdicts as plain data."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage

from fiel.policies.types import Bundle, Decision, Policies, Stage, Verdict
from fiel.tools.canonical import digest
from fiel.tools.vault import Vault

State = Mapping[str, Any]
Update = dict[str, Any]


def text_of(message: AnyMessage) -> str | None:
    """The text of a message; None where it carries anything else (pictures, files)."""
    if isinstance(message.content, str):
        return message.content
    parts: list[str] = []
    for part in message.content:
        if isinstance(part, str):
            parts.append(part)
        elif isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str):
            parts.append(part["text"])
        else:
            return None
    return "\n".join(parts)


def asked(run: str, text: str, message: AnyMessage | None = None) -> HumanMessage:
    """The question as a message; replaces `message` where it came in as one. Ids are derived, so replays agree."""
    return HumanMessage(content=text, id=message.id if message and message.id else f"{run}:question")


def said(run: str, text: str, outcome: str, reason: str) -> AIMessage:
    """What fiel says at the end of a run, as a message that chat front ends show."""
    return AIMessage(
        content=text, id=f"{run}:answer", response_metadata={"outcome": outcome, "reason": reason, "run_id": run}
    )


def canary(run: str) -> str:
    """A word that stands in the prompts of this run and nowhere else: a draft that holds it has leaked its prompt.

    Derived from the run's id, so that a replay finds the same prompts.
    """
    return f"fiel-{digest(f'canary {run}'.encode())[:12]}"


def bundle_of(policies: Policies, state: State) -> Bundle:
    """The bundle that the run began with, in its version. Raises PolicyError where it has gone."""
    return policies.bundle(state.get("policy") or "default", (state.get("versions") or {}).get("policy", ""))


def plain(verdicts: Iterable[Verdict], *, spans: bool) -> list[dict[str, Any]]:
    """Verdicts as canonical data, without milliseconds; spans only where they may be seen."""
    return [
        {
            "check": verdict.check,
            "stage": verdict.stage,
            "version": verdict.version,
            "action": verdict.action,
            "score": verdict.score,
            "threshold": verdict.threshold,
            "reason": verdict.reason,
            "spans": [
                {"part": span.part, "start": span.start, "end": span.end, "kind": span.kind} for span in verdict.spans
            ]
            if spans
            else [],
        }
        for verdict in verdicts
    ]


def found(decision: Decision) -> bool:
    """Whether any verdict of the decision has spans."""
    return any(verdict.spans for verdict in decision.verdicts)


async def due(
    vault: Vault, run: str, stage: Stage, subject: str, parts: Sequence[str], decision: Decision
) -> dict[str, Any]:
    """The channel `review` where a guard wants one: of what (`subject`, a digest), why, and what was found."""
    found = await vault.put(run, {"parts": list(parts), "verdicts": plain(decision.verdicts, spans=True)})
    return {"stage": stage, "subject": subject, "reason": decision.reason, "found": found, "status": "due"}
