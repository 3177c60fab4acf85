"""An answer that is released in windows, as messages of a stream: each window is a piece of the one message.

LangGraph tells of a message when its hop has ended, and only once under an id. The pieces are made from the ends of
tasks, which come after the recorder has committed what they show; no text is told twice.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from langchain_core.messages import AIMessageChunk

from fiel.infra.hosts.allowed import ENDS, code
from fiel.infra.hosts.parts import Part


class Spoken:
    """What one run's stream has told of its answer."""

    def __init__(self) -> None:
        self._pieces: set[str] = set()
        self._whole: set[str] = set()

    def whole(self, message: Any) -> bool:
        """Whether a message may be told as a whole: it may not where it was told in pieces."""
        id = str(getattr(message, "id", ""))
        if id in self._pieces:
            return False
        self._whole.add(id)
        return True

    def pieces(self, task: Any) -> Iterable[Part]:
        """What the end of a task adds to the answer: text behind what was told before."""
        if not isinstance(task, Mapping) or task.get("name") not in ENDS:
            return
        found = task.get("result")
        window, answer = (found.get("window"), found.get("answer")) if isinstance(found, Mapping) else (None, None)
        if not isinstance(window, Mapping) or not isinstance(answer, str) or type(window.get("from")) is not int:
            return
        id = f"{code(window.get('run'))}:answer"
        if id in self._whole or not code(window.get("shown")):
            return
        self._pieces.add(id)
        yield Part(
            "messages", (AIMessageChunk(content=answer[window["from"] :], id=id), {"langgraph_node": task["name"]})
        )
