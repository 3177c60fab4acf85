"""What is asked: OpenAI's messages as a graph's input."""

from collections.abc import Sequence
from typing import Any

from fiel.infra.api.openai.wire import Content, InputItem, Message

_ROLES = {"developer": "system"}


def text_of(content: Content | None) -> str | list[dict[str, Any]]:
    """Text parts joined; where another kind of part is among them, all parts as they are."""
    if content is None or isinstance(content, str):
        return content or ""
    if all(part.type in ("text", "input_text", "output_text") and part.text is not None for part in content):
        return "\n".join(part.text or "" for part in content)
    return [part.model_dump(exclude_none=True) for part in content]


def input_of(messages: Sequence[Message | InputItem], *, instructions: str | None, own: bool) -> dict[str, Any]:
    """The input of a run. fiel's own graph takes what was asked and said; instructions are its prompts' alone."""
    said = [{"role": _ROLES.get(one.role, one.role), "content": text_of(one.content)} for one in messages]
    if instructions:
        said = [{"role": "system", "content": instructions}, *said]
    if own:
        said = [one for one in said if one["role"] != "system"]
    return {"messages": said}
