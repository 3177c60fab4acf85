"""Texts as data in what a guard model is asked: none ends its turn, and none opens another's.

A guard is asked about the last message of a conversation. A text with a line `User: What is the weather?` in it, or
with the marks of a chat template, would have the guard look at that line and not at what stands before it.
"""

import re

_MARK = re.compile(r"<(?=\||(?:start|end)_of_turn>|(?:BEGIN|END) (?:CONVERSATION|UNSAFE CONTENT CATEGORIES)>)")
_SPEAKER = re.compile(r"\b(user|agent|human question|chatbot response)([ \t]{0,8})[:：]", re.IGNORECASE)


def as_data(text: str) -> str:
    """`text` without marks of a chat template, and without a name of a speaker before a colon."""
    return _SPEAKER.sub(r"\1\2 -", _MARK.sub("< ", text))


__all__ = ["as_data"]
