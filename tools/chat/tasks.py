"""Tasks: sentences that set a reader, or a writer, something to say, such as *Explain how tides work.*

One that stands in a document answers nothing, except where the question asks for what is to be done.
"""

import re

from fiel.tools.text.questions import kind_of
from fiel.tools.text.words import fold

_GENRE = (
    r"(?:poem|essay|story|letter|speech|song|article|joke|example|equivalent|translation|summary|explanation|definition|"
    r"overview|snippet|poema|ensayo|cuento|carta|discurso|cancion|articulo|chiste|ejemplo|equivalente|traduccion|"
    r"resumen|explicacion|definicion)"
)
_TASK = re.compile(
    r"\W*(?:(?:please|now|also|then|and|por favor|ahora|ademas|luego|y)\b\W*){0,2}(?:"
    r"(explain|describe|summari[sz]e|translate|paraphrase|discuss|define|break down|"
    r"explica|resume|traduce|parafrasea|comenta|desglosa)\b(?!:)|"
    r"(write|compose|draft|develop|create|generate|give|provide|show|tell|list|"
    r"escribe|redacta|compon|desarrolla|crea|genera|da|dame|proporciona|muestra|cuenta)(?: me| us)? "
    rf"(?:an?|the|some|un|una|el|la|unos|unas) (?:\w+ ){{0,3}}{_GENRE})"
)


def sets_task(sentence: str, question: str) -> bool:
    """Whether a line of `sentence` sets a task, while `question` asks neither how it is done nor for its verb."""
    if kind_of(question) == "manner":
        return False
    first, *others = sentence.splitlines() or [""]
    # A line that begins in small letters goes on with what the line before began.
    lines = [first, *(line for line in others if line.lstrip()[:1].isupper())]
    found = (_TASK.match(fold(line)) for line in lines)
    return any((match.group(1) or match.group(2)) not in fold(question) for match in found if match)
