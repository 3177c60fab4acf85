"""What a guard says of a question or an answer, as the checks of a bundle read it."""

from collections.abc import Mapping
from typing import Any

from fiel.policies.types import Bundle, Stage
from fiel.tools.canonical import score
from fiel.tools.guard import Guard


async def moderated(guard: Guard, bundle: Bundle, stage: Stage, question: str, answer: str = "") -> Mapping[str, Any]:
    """The fact `moderation`, where the bundle has a check for it there; else nothing, and nobody is asked.

    Raises ModelUnavailable: without its scores nothing goes on.
    """
    if not bundle.uses("moderation", stage) or (answer and not guard.reads_answers):
        return {}
    assessment = await guard.assess(question, answer)
    scores = {name: score(value) for name, value in assessment.scores.items()}
    return {"moderation": {"model": guard.version, "scores": scores}}
