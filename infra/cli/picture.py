"""`make graph`: writes the picture of the graph, drawn from the graph itself, into a Markdown file."""

import re
import sys
from pathlib import Path
from typing import Any, cast

from fiel.tools.record import Hop, Node

BEGIN, END = "<!-- graph: written by `make graph` -->", "<!-- end of graph -->"


class _Unworn:
    """Enough of a recorder to build a graph that nobody runs."""

    def wear(self, hop: Hop, node: Node) -> Node:
        return node


def mermaid() -> str:
    """The answer graph in Mermaid's language, as LangGraph draws it."""
    from fiel.graphs.answer.graph import build
    from fiel.graphs.services import Services

    nobody: Any = None
    services = Services(
        callers=nobody,
        chats={},
        embed=nobody,
        guard=nobody,
        judge=nobody,
        language=nobody,
        policies=nobody,
        recorder=cast("Any", _Unworn()),
        rerank=nobody,
        search=nobody,
        vault=nobody,
    )
    drawn = build(services).get_graph().draw_mermaid(with_styles=False)
    return drawn.strip().replace("\t", "  ")


def embedded(text: str) -> str:
    """`text` with the picture between its two comments. Raises ValueError where they are missing."""
    picture = f"{BEGIN}\n```mermaid\n{mermaid()}\n```\n{END}"
    changed, times = re.subn(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: picture, text, flags=re.DOTALL)
    if times != 1:
        raise ValueError(f"the text must hold {BEGIN} and {END} once")
    return changed


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(embedded(path.read_text(encoding="utf-8")), encoding="utf-8")
