"""How long a text is for an embedding model, and where it may be cut: both without the model."""

import re
import unicodedata

_TOKEN = re.compile(
    r"[\u2e80-\u9fff\uac00-\ud7af\u0e00-\u0eff]|[^\W\u2e80-\u9fff\uac00-\ud7af\u0e00-\u0eff]{1,4}|[^\w\s]"
)
"""At most what a multilingual subword tokenizer makes of it: four letters, or one sign of a script without spaces."""


def tokens(text: str) -> list[str]:
    """An upper estimate of the tokens of `text`: about 1.2 times those of XLM-R in English and Spanish."""
    return _TOKEN.findall(text)


def length(text: str) -> int:
    """Estimated number of tokens of `text`."""
    return len(tokens(text))


def cut(text: str, most: int) -> list[str]:
    """`text` in pieces of at most `most` estimated tokens, which joined give `text` again.

    Cuts before a word where there is one in the second half of a piece, never before a combining mark or after a
    zero-width joiner, so that no character as a reader sees it is torn (unless it alone exceeds `most`).
    """
    pieces: list[str] = []
    start = 0
    while start < len(text):
        end = _reach(text, start, most)
        pieces.append(text[start:end])
        start = end
    return pieces


def _reach(text: str, start: int, most: int) -> int:
    """End of the piece that begins at `start`."""
    end = start
    for count, match in enumerate(_TOKEN.finditer(text, start)):
        if count == most:
            break
        end = match.end()
    else:
        return len(text)
    space = max(text.rfind(" ", start, end), text.rfind("\n", start, end))
    if space > (start + end) // 2:
        return space + 1
    safe = end
    while safe > start and _joins(text, safe):
        safe -= 1
    return safe if safe > start else end


def _joins(text: str, place: int) -> bool:
    """Whether what stands before `place` and after it belong to one character as a reader sees it."""
    if place >= len(text):
        return False
    after, before = text[place], text[place - 1]
    return (
        before == "\u200d"
        or after == "\u200d"
        or (before == "\r" and after == "\n")
        or "\ufe00" <= after <= "\ufe0f"
        or "\U0001f3fb" <= after <= "\U0001f3ff"
        or unicodedata.combining(after) != 0
        or unicodedata.category(after) in ("Mn", "Me")
    )
