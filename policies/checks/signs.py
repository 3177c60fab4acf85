"""Signs: how a text is written, apart from what it says. Disguise, escapes, code, shouting, its length, how it ends.

The weights of wordings (`fiel.policies.checks.grams`) have one place for each sign. No sign alone decides anything.
"""

import re
import unicodedata

from fiel.policies.checks.folding import LOOKALIKES

_WORD = re.compile(r"\w+")
_LEET = re.compile(r"(?<![\w@$€])(?=[\w@$€!+]*[a-z])(?=[\w@$€!+]*[013457@$€!+][a-z])[a-z013457@$€!+]{3,30}", re.I)
_ALONE = re.compile(r"(?<![^\W\d_])[^\W\d_](?![^\W\d_])")
_CODED = re.compile(r"[A-Za-z0-9+/]{24,}={0,2}|(?:[0-9a-fA-F]{2} ?){10,}|(?:[.\-]{1,5} ){4,}")
_SHELL = re.compile(r"\$[({A-Z]|&&|\|\||`|\b(?:sudo|eval|exec|curl|bash)\b")
_TAG = re.compile(r"<\|?/?\w+\|?>|\[/?[A-Z]{3,}|^\W{3,}|={2,}\w|#{3,}")
_GLUED = re.compile(r"[^\W_]+_[^\W_]+_\w+|\b[a-z]+[A-Z]\w*[A-Z]\w*")
_SHOUT = re.compile(r"\b[A-Z]{3,}\b")
_HUNG = re.compile(r"[?.!]\s*[\[(][^\])]{4,}[\])]\s*$|[?.]\s+[A-Z_]{4,}:")
_QUOTED = re.compile(r"[\"«“'][^\"»”']{3,}[\"»”']")
_LENGTHS = (2, 4, 8, 16, 32, 80)
"""Words."""
_LONG = 18
"""Letters of a word that is longer than words are."""
SIGNS = 32
"""Places for signs; not all are used."""


def signs(text: str) -> list[int]:
    """The numbers of the signs that `text` shows, ascending. Linear in the length."""
    words = _WORD.findall(text)
    length = sum(len(words) > least for least in _LENGTHS)
    marks = sum(not c.isalnum() and not c.isspace() for c in text) / max(1, len(text))
    mixed = 0 if text.isascii() else sum(map(_is_mixed, words))
    leet = sum(1 for _ in _LEET.finditer(text))
    shouted = len(_SHOUT.findall(text))
    shown = (
        mixed > 0,
        mixed > 1,
        leet > 0,
        leet > 1,
        leet > 3,
        not text.isascii() and any(_is_dressed(c) for c in text),
        any(unicodedata.category(c) == "Cf" for c in text) if not text.isascii() else False,
        len(_ALONE.findall(text)) > 5,
        text.count("\\") > 2,
        marks > 0.12,
        marks > 0.3,
        _CODED.search(text) is not None,
        _SHELL.search(text) is not None,
        _TAG.search(text) is not None,
        _GLUED.search(text) is not None,
        any(len(word) > _LONG for word in words),
        shouted > 0,
        shouted > 1,
        text.isupper(),
        _HUNG.search(text) is not None,
        _QUOTED.search(text) is not None,
        "\n" in text,
        text.rstrip().endswith("?"),
        text.rstrip().endswith((".", "!")),
    )
    return [number for number, is_shown in enumerate(shown) if is_shown] + [len(shown) + length]


def _is_mixed(word: str) -> bool:
    """Letters of two alphabets in one word, of which one passes for the other."""
    return (
        not word.isascii()
        and any("a" <= c.lower() <= "z" for c in word)
        and any(c.lower() in LOOKALIKES for c in word if not c.isascii())
    )


def _is_dressed(character: str) -> bool:
    """A letter in another dress, such as a wide one."""
    return not character.isascii() and character.isalnum() and unicodedata.normalize("NFKC", character).isascii()
