"""Turns of a thread: what the graph itself has written down of each, and what of it a question may lean on.

The channel `messages` is what a front end shows. A caller writes into it, whole conversations too, so nothing in it is
taken for fiel's own words: only the channel `turns` is, which no input reaches. `guard_input` opens a turn, the hop
that ends the run closes it.
"""

from collections.abc import Sequence
from typing import TypedDict

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage

from fiel.nodes.base import State, asked, canary, said, text_of
from fiel.tools.canonical import digest_trusted

KEPT = 20
"""Turns that a thread remembers; older ones are only shown."""
TURNS = 6
"""Texts of the conversation that a follow-up may lean on."""


class Turn(TypedDict):
    """One question of a thread, and what became of it."""

    run: str
    asked: str
    """Id of the message that the question came in, or was put into."""
    seen: str
    """Digest of that message's text as `guard_input` left it."""
    question: str
    """The question as it passed the checks; empty where it was refused: what a guard kept out is not kept."""
    answer: str
    outcome: str
    """Empty as long as the run goes on."""
    reason: str


class Said(TypedDict):
    """A text of the conversation that a question may lean on."""

    role: str
    """`user` or `assistant`."""
    text: str


def opened(state: State, run: str, message: str, text: str, question: str) -> list[Turn]:
    """The turns with the one that begins: its question came in `message`, which says `text` now."""
    turn = Turn(run=run, asked=message, seen=digest_trusted(text), question=question, answer="", outcome="", reason="")
    return [*turns_of(state), turn][-KEPT:]


def closed(state: State, run: str, answer: str, outcome: str, reason: str) -> list[Turn]:
    """The turns with the last one closed by `run`, which may have resumed the one that opened it."""
    turns = turns_of(state)
    if not turns or turns[-1]["outcome"]:  # `guard_input` has failed
        turns = opened(state, run, "", "", "")
    last = turns[-1]
    question = "" if outcome == "refused" else last["question"]
    done = Turn(
        run=run, asked=last["asked"], seen=last["seen"], question=question, answer=answer, outcome=outcome,
        reason=reason,
    )  # fmt: skip
    return [*turns[:-1], done]


def mark_of(state: State, run: str) -> str:
    """The canary of this turn: that of the run which opened it, also in a run that goes on from there."""
    turns = turns_of(state)
    return canary(turns[-1]["run"] if turns else run)


def turns_of(state: State) -> list[Turn]:
    """The turns of the thread, oldest first."""
    return list(state.get("turns") or [])


def remembered(state: State) -> list[Said]:
    """What a new question may lean on, oldest first: questions that were dealt with, and their answers.

    A question that was refused is forgotten with its refusal; so is one whose answer the caller has deleted.
    """
    shown = {message.id for message in messages_of(state)}
    out: list[Said] = []
    for turn in turns_of(state):
        if turn["outcome"] not in ("answered", "abstained") or _answer_id(turn) not in shown:
            continue
        out.append(Said(role="user", text=turn["question"]))
        if turn["outcome"] == "answered":
            out.append(Said(role="assistant", text=turn["answer"]))
    return out[-TURNS:]


def messages_of(state: State) -> list[AnyMessage]:
    return list(state.get("messages") or [])


def taken_up(state: State) -> tuple[str | None, AnyMessage | None, str]:
    """The new question, the message it came in if any, and the reason why there is none.

    The question is None where it carries more than text. A last message that an earlier run has taken up (one killed
    before it answered) is not new, and one whose id belongs to an earlier message replaces it instead of asking.
    """
    messages, turns = messages_of(state), turns_of(state)
    last = messages[-1] if messages else None
    known = {turn["asked"] for turn in turns} | {_answer_id(turn) for turn in turns}
    if isinstance(last, HumanMessage) and last.id not in known:
        return text_of(last), last, ""
    if _replaced(messages, turns):
        return "", None, "message_reused"
    typed = str(state.get("question") or "")
    if turns and last is not None and last.id not in known and typed == turns[-1]["question"]:
        return "", None, "empty_question"  # what came in ends with something that is no question
    return typed, None, ""


def put_right(state: State) -> list[AnyMessage]:
    """Messages that must be written again, so that the conversation shows what fiel was asked and said.

    Those that were replaced under their ids come back; a message in fiel's role that fiel did not write is shown, but
    keeps nothing that says it was an outcome.
    """
    messages, turns = messages_of(state), turns_of(state)
    right: list[AnyMessage] = []
    for message in _replaced(messages, turns):
        turn = next(one for one in turns if message.id in (one["asked"], _answer_id(one)))
        if message.id == _answer_id(turn):
            right.append(said(turn["run"], turn["answer"], turn["outcome"], turn["reason"]))
        elif turn["question"]:
            right.append(asked(turn["run"], turn["question"], HumanMessage("", id=turn["asked"])))
    foreign = [message for message in _since(messages, turns) if isinstance(message, AIMessage)]
    right += [one.model_copy(update={"response_metadata": {}}) for one in foreign if one.response_metadata]
    return right


def _since(messages: Sequence[AnyMessage], turns: Sequence[Turn]) -> Sequence[AnyMessage]:
    """What stands after the last answer of fiel's: all of it came from outside."""
    answers = {_answer_id(turn) for turn in turns if turn["outcome"]}
    place = max((index for index, message in enumerate(messages) if message.id in answers), default=-1)
    return messages[place + 1 :]


def _replaced(messages: Sequence[AnyMessage], turns: Sequence[Turn]) -> list[AnyMessage]:
    """Messages under an id of a turn that do not say any more what that turn has left there."""
    questions = {turn["asked"]: turn["seen"] for turn in turns if turn["asked"]}
    answers = {_answer_id(turn): turn for turn in turns if turn["outcome"]}
    return [
        message for message in messages
        if (message.id in questions and _differs(message, questions[str(message.id)]))
        or (message.id in answers and not _says(message, answers[str(message.id)]))
    ]  # fmt: skip


def _differs(message: AnyMessage, seen: str) -> bool:
    return not isinstance(message, HumanMessage) or digest_trusted(text_of(message) or "") != seen


def _says(message: AnyMessage, turn: Turn) -> bool:
    own = said(turn["run"], turn["answer"], turn["outcome"], turn["reason"])
    return (
        isinstance(message, AIMessage)
        and message.content == own.content
        and message.response_metadata == own.response_metadata
    )


def _answer_id(turn: Turn) -> str:
    return f"{turn['run']}:answer" if turn["outcome"] else ""
