"""Views: what else a text says once its disguise is off, and the windows in which a long text is looked at.

Every view costs an embedding, so there are few of them, and none for a text that hides nothing.
"""

import base64
import binascii
import codecs
import re
import unicodedata
from urllib.parse import unquote

from fiel.policies.checks.folding import LOOKALIKES

WINDOW = 1_200
"""Characters of a window; the embedder's own, so that the vector of a question is the one that retrieval needs."""
MOST_WINDOWS = 8
"""A text beyond `WINDOW * MOST_WINDOWS` characters is judged by its first and last windows."""
MOST_VIEWS = 3
LOOKED_AT = 8_000
"""Characters in which encodings are looked for."""

_LEET = str.maketrans("013457@$€", "oieastase")
_LEET_WORD = re.compile(r"(?<![\w@$€])(?=[\w@$€]*[a-z])(?=[\w@$€]*[013457@$€])[a-z013457@$€]{3,30}(?![\w@$€])", re.I)
_CODED = re.compile(r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/_-]{16,2000}={0,2}(?![A-Za-z0-9+/=_-])")
_HEX = re.compile(r"(?<![0-9A-Za-z])(?:[0-9a-fA-F]{2}[ ]?){8,1000}(?![0-9A-Za-z])")
_SPACED = re.compile(r"(?<!\w)\w(?:[ .\-_*|\\]{1,3}\w(?!\w)){5,400}")
_HINTS = frozenset(
    "the your you ignore previous instructions system prompt rules reveal password forget show print all las los tus "
    "tu ignora olvida reglas instrucciones muestra dime clave anteriores contraseña muestrame revela".split()
)
_WORDS = re.compile(r"[^\W\d_]{2,}")


def windows(text: str) -> list[str]:
    """Adjoining windows, as the embedder cuts; at most `MOST_WINDOWS`, first and last ones of a longer text."""
    text = readable(text)
    found = []
    while len(text) > WINDOW:
        cut = max(text.rfind(space, WINDOW * 2 // 3, WINDOW) for space in (" ", "\n", "\t")) + 1 or WINDOW
        found.append(text[:cut])
        text = text[cut:]
    found.append(text)
    half = MOST_WINDOWS // 2
    return found if len(found) <= MOST_WINDOWS else [*found[:half], *found[-half:]]


def readable(text: str) -> str:
    """`text` as the model can take it: no NUL, no lone surrogates, not empty."""
    return text.replace("\0", " ").encode("utf-8", "replace").decode() or " "


def plain(text: str) -> str:
    """Compatibility forms resolved, what cannot be seen removed, look-alike letters in Latin words read as Latin.

    An ordinary text, accents included, comes back as it was.
    """
    if text.isascii():
        return text
    text = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) not in ("Cf", "Cn", "Co"))
    return re.sub(r"\w+", _latin, text)


def _latin(match: re.Match[str]) -> str:
    word = match.group()
    if word.isascii() or not any("a" <= c.lower() <= "z" for c in word):
        return word
    return "".join(LOOKALIKES.get(c.lower(), c) for c in word)


def views(text: str) -> list[str]:
    """The text itself, then at most `MOST_VIEWS` readings of it that differ, the likeliest first."""
    seen = plain(text)
    found = [text]
    head = seen[:LOOKED_AT]
    for view in (seen, _without_leet(head), *_decoded(head), _joined(head), *_turned(head)):
        if view and view not in found:
            found.append(view)
    return found[: MOST_VIEWS + 1]


def _without_leet(text: str) -> str:
    matches = _LEET_WORD.findall(text)
    return _LEET_WORD.sub(lambda m: m.group().lower().translate(_LEET), text) if len(matches) > 1 else ""


def _decoded(text: str) -> list[str]:
    found = []
    for match in list(_CODED.finditer(text))[:4]:
        found.append(_letters(_base64(match.group())))
    for match in list(_HEX.finditer(text))[:2]:
        found.append(_letters(bytes.fromhex(match.group().replace(" ", "")) if _even(match.group()) else b""))
    if text.count("%") > 2:
        found.append(unquote(text, errors="replace"))
    return [one for one in found if one]


def _even(digits: str) -> bool:
    return len(digits.replace(" ", "")) % 2 == 0


def _base64(run: str) -> bytes:
    run = run.rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        return base64.b64decode(run + "=" * (-len(run) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _letters(raw: bytes) -> str:
    """What the bytes spell; empty for bytes that are no text."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return ""
    return (
        text
        if len(text) > 5 and text.isprintable() and sum(c.isalpha() or c == " " for c in text) > 0.8 * len(text)
        else ""
    )


def _joined(text: str) -> str:
    """Letters that stand apart, put together; wider gaps part the words."""
    match = _SPACED.search(text)
    if match is None:
        return ""
    return _SPACED.sub(lambda m: re.sub(r"(?<=\w)[ .\-_*|\\](?=\w)", "", m.group()).replace("\\", " "), text)


def _turned(text: str) -> list[str]:
    """The text backwards and by ROT13, where that has more of the words of orders than the text itself."""
    if len(text) > 2_000:
        return []
    least = _hints(text)
    return [turned for turned in (text[::-1], codecs.encode(text, "rot13")) if _hints(turned) > least + 1]


def _hints(text: str) -> int:
    return sum(word in _HINTS for word in _WORDS.findall(text.lower()))
