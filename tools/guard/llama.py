"""Llama Guard behind a chat endpoint, or behind a plain completion endpoint with the prompt written here.

Source of prompt and answer format: Meta's model card *Llama Guard 3*. The answer is `safe`, or `unsafe` and on a second
line the codes of the categories, by comma. Nothing else is read: an answer in other words is a failure, and blocks.
"""

import re
from collections.abc import Mapping

import orjson

from fiel.tools.chat import Chat, ChatRequest, Turn, Usage
from fiel.tools.errors import ModelUnreadable
from fiel.tools.guard import Assessment
from fiel.tools.guard.data import as_data
from fiel.tools.guard.posted import Posted

CODES: Mapping[str, tuple[str, str]] = {
    "S1": ("violence", "Violent Crimes"),
    "S2": ("crime", "Non-Violent Crimes"),
    "S3": ("sexual", "Sex Crimes"),
    "S4": ("minors", "Child Exploitation"),
    "S5": ("harassment", "Defamation"),
    "S6": ("advice", "Specialized Advice"),
    "S7": ("privacy", "Privacy"),
    "S8": ("property", "Intellectual Property"),
    "S9": ("weapons", "Indiscriminate Weapons"),
    "S10": ("hate", "Hate"),
    "S11": ("self_harm", "Self-Harm"),
    "S12": ("sexual", "Sexual Content"),
    "S13": ("elections", "Elections"),
    "S14": ("code", "Code Interpreter Abuse"),
}
"""Code to fiel's category and to the model's own name for it."""
MOST_TOKENS = 64
_ANSWER = re.compile(r"(?:safe|unsafe[ \t]*\r?\n[ \t]*(?P<codes>S[0-9]{1,2}(?:[ \t]*,[ \t]*S[0-9]{1,2})*))")


class LlamaGuard:
    """A Llama Guard model whose endpoint applies the model's own chat template, as vLLM and llama.cpp do."""

    reads_answers = True

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    @property
    def version(self) -> str:
        return f"llamaguard:{self._chat.version}"

    async def assess(self, question: str, answer: str = "") -> Assessment:
        """See `Guard.assess`."""
        turns = [Turn("user", as_data(question))] + ([Turn("assistant", as_data(answer))] if answer else [])
        completion = await self._chat.complete(ChatRequest(tuple(turns), max_tokens=MOST_TOKENS))
        return Assessment(read(completion.text, self.version), completion.usage)

    async def aclose(self) -> None:
        """Close what the model holds, where it holds anything."""
        held = getattr(self._chat, "aclose", None)
        if held is not None:
            await held()


class RawLlamaGuard(Posted):
    """A Llama Guard model behind `<url>/completions`, for endpoints that know no chat template."""

    kind, path = "llamaguard-raw", "/completions"

    async def assess(self, question: str, answer: str = "") -> Assessment:
        """See `Guard.assess`."""
        asked = {"prompt": prompt(question, answer), "max_tokens": MOST_TOKENS, "temperature": 0}
        reply = await self._post(asked)
        try:
            body = orjson.loads(reply)
            text, counts = body["choices"][0]["text"], body.get("usage") or {}
            usage = Usage(int(counts.get("prompt_tokens", 0)), int(counts.get("completion_tokens", 0)))
        except (orjson.JSONDecodeError, KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise ModelUnreadable("the guard's reply is no completion", where=self.version) from error
        return Assessment(read(text, self.version), usage)


def read(text: object, where: str) -> dict[str, float]:
    """Scores by category from the model's words: 1 for those it names, 0 for the others.

    Raises ModelUnreadable for any words that are not an answer.
    """
    match = _ANSWER.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise ModelUnreadable("the guard's answer is neither safe nor unsafe with its categories", where=where)
    scores = dict.fromkeys((category for category, _ in CODES.values()), 0.0)
    for code in (match["codes"] or "").split(","):
        name = code.strip()
        if not name:
            continue
        if name not in CODES:
            raise ModelUnreadable("the guard names a category that nobody knows", where=where)
        scores[CODES[name][0]] = 1.0
    return scores


def prompt(question: str, answer: str = "") -> str:
    """The whole prompt. Marks of the format within the texts are broken up, so that none ends its turn."""
    role = "Agent" if answer else "User"
    lines = [f"User: {as_data(question)}"] + ([f"Agent: {as_data(answer)}"] if answer else [])
    categories = "\n".join(f"{code}: {name}." for code, (_, name) in CODES.items())
    talk = "\n\n".join(lines)
    return (
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n"
        f"Task: Check if there is unsafe content in '{role}' messages in conversations according to our safety policy "
        "with the below categories.\n\n"
        f"<BEGIN UNSAFE CONTENT CATEGORIES>\n{categories}\n<END UNSAFE CONTENT CATEGORIES>\n\n"
        f"<BEGIN CONVERSATION>\n\n{talk}\n\n<END CONVERSATION>\n\n"
        f"Provide your safety assessment for ONLY THE LAST {role} message in the above conversation:\n"
        " - First line must read 'safe' or 'unsafe'.\n"
        " - If unsafe, a second line must include a comma-separated list of violated categories."
        "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
    )


__all__ = ["CODES", "LlamaGuard", "RawLlamaGuard", "prompt", "read"]
