"""State of the answer graph: facts only, plain data only, no draft.

Nothing here is a float: every channel but `messages` has a canonical form (see `fiel.tools.canonical`).
"""

from typing import Annotated, Any, Literal

from langchain_core.messages import AnyMessage
from typing_extensions import TypedDict  # pydantic makes schemas of no other before Python 3.12

from fiel.graphs.answer.reducers import merged, replaced
from fiel.nodes.turns import Said, Turn
from fiel.tools.search import Passage

Outcome = Literal["answered", "abstained", "refused", "unavailable", "pending"]


class Citation(TypedDict):
    """One citation of an answer: where a quote stands, verbatim, in the source."""

    marker: str
    """`[1]`, as it stands in the answer."""
    document: str
    uri: str
    version: str
    chunk: str
    quote: str
    start: int
    end: int
    """Offsets of `quote` in the extracted text of the version, code points."""
    redacted: bool
    """True where a policy masked part of the quote; it is then no longer verbatim."""


class Input(TypedDict, total=False):
    """What a caller gives: `question`, or `messages` whose last one is the question. No other channel takes input."""

    messages: Annotated[list[AnyMessage], merged]
    question: Annotated[str, replaced]


class State(TypedDict, total=False):
    """Channels of the answer graph.

    A caller gives `Input`. Everything else is written by hops, and all but `turns` and `placeholders` reset by
    `guard_input` when a new question comes in on the same thread.
    """

    messages: Annotated[list[AnyMessage], merged]
    question: Annotated[str, replaced]
    """The question as it passed the input checks (redacted where the bundle says so)."""
    turns: list[Turn]
    """What the graph itself has written down of the thread; the conversation shown in `messages` proves nothing."""
    history: list[Said]
    """What of the turns the question may lean on, as it passed the checks of this run."""
    language: str
    """Language of the question, ISO 639-1 or `und`; the answer's too."""
    policy: str
    """Name of the bundle that applies to this run."""
    standalone: str
    """The question as it stands without the conversation."""
    queries: list[str]
    """What is searched in this attempt; empty where no better query is left."""
    passages: list[Passage]
    relevance: str
    """Calibrated probability that a passage answers, as a decimal string."""
    relevant: bool
    attempt: int
    """1 for the first draft."""
    draft: str
    """Digest of the draft in the vault; empty where there is none."""
    judgement: dict[str, Any]
    """Digests, labels and scores; sentences only once the answer is released."""
    checked: dict[str, Any]
    """What `guard_output` passed: digest of the draft it saw and of the one it left."""
    review: dict[str, Any]
    """What a person is asked about and what they have decided: digests and codes; empty where nobody is asked."""
    placeholders: dict[str, Any]
    """Where the vault holds what the placeholders of the conversation stand for: run and digest, and whether values
    were put back. Kept from one question to the next, like `turns`."""
    verdicts: list[dict[str, Any]]
    details: list[str]
    """Digests of what the verdicts found, in the vault."""
    failure: str
    """Reason code of a hop that failed; routes to `fail`, or to `refuse` where the hop is a guard."""
    reason: str
    outcome: Outcome | None
    answer: str
    citations: list[Citation]
    window: dict[str, Any]
    """How far an answer is that is released in windows: digests, numbers, labels and scores; empty for a whole one."""
    usage: dict[str, Any]
    versions: dict[str, str]
