"""Prompts as the nodes see them: templates with a version; what fills them can never become an instruction."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from string import Template

from fiel.nodes.cite import unmarked
from fiel.tools.canonical import digest_of
from fiel.tools.search import Passage, shown_headings, shown_text

_DELIMITER = re.compile(r"[<＜﹤](?=\W{0,8}(?:passage|conversation))", re.IGNORECASE)
"""What opens a tag that delimits data in a template, opening or closing, also where it is spelt a little oddly."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A filled prompt: what the system says, what the user says."""

    system: str
    user: str


@dataclass(frozen=True, slots=True)
class Prompts:
    """The prompts of one version. Each template holds a system part and a user part, `---` between them."""

    name: str
    answer_template: str
    """Fields: `$question`, `$passages`, `$language`, `$canary`."""
    rewrite_template: str
    """Fields: `$question`, `$history`, `$language`, `$canary`."""

    @property
    def version(self) -> str:
        """Name and hash of the templates."""
        return f"{self.name}:{digest_of([self.answer_template, self.rewrite_template])[:16]}"

    @property
    def secret(self) -> str:
        """The system parts: what an answer must not repeat."""
        return "\n".join(_parts(template)[0] for template in (self.answer_template, self.rewrite_template))

    def answer(self, question: str, passages: Sequence[Passage], language: str, canary: str = "") -> Prompt:
        """The prompt for a draft. Passages are numbered from 1, and cannot close their own delimiters.

        Sentences of a passage that give orders are left out. `canary`: see `fiel.nodes.base.canary`.
        """
        shown = "\n".join(_delimited(number, passage) for number, passage in enumerate(passages, start=1))
        return self._filled(
            self.answer_template, question=_inert(question), passages=shown, language=language, canary=canary
        )

    def rewrite(self, question: str, history: Sequence[tuple[str, str]], language: str, canary: str = "") -> Prompt:
        """The prompt that makes a follow-up question stand alone. `history`: role and text, a line each."""
        shown = "\n".join(f"{role}: {_line(text)}" for role, text in history)
        return self._filled(
            self.rewrite_template, question=_inert(question), history=shown, language=language, canary=canary
        )

    @staticmethod
    def _filled(template: str, **values: str) -> Prompt:
        system, user = (Template(part).safe_substitute(values) for part in _parts(template))
        return Prompt(system, user)


def _parts(template: str) -> tuple[str, str]:
    system, _, user = template.partition("\n---\n")
    return system.strip(), user.strip()


def _delimited(number: int, passage: Passage) -> str:
    context = _line(shown_headings(passage)[1]).replace('"', "'").replace("<", "‹").replace(">", "›")
    return f'<passage number="{number}" section="{context}">\n{_inert(shown_text(passage))}\n</passage>'


def _inert(text: str) -> str:
    """Text that can neither end its delimiters nor open others, nor bring markers of its own."""
    return unmarked(_DELIMITER.sub("‹", text))


def _line(text: str) -> str:
    """The same on one line: a turn of a conversation cannot open the next one."""
    return " ".join(_inert(text).split())
