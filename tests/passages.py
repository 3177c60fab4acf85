"""Passages for tests of rerankers, extraction and judges."""

from fiel.tools.search import Passage

RHINE_EN = (
    "The Rhine rises in the Swiss Alps and flows into the North Sea. It is 1,233 kilometres long. "
    "The poet Heinrich Heine was born in Düsseldorf in 1797. The river has never frozen completely since 1963."
)
TOWER_EN = (
    "The Eiffel Tower was finished in 1889 for the World's Fair in Paris. Gustave Eiffel's company built it. "
    "It is 330 metres tall and was the tallest building for 41 years."
)
BREAD_EN = (
    "Sourdough bread rises slowly because wild yeast works at a low temperature. Bakers feed the starter twice a day. "
    "A loaf needs about 12 hours."
)
RHINE_ES = (
    "El Rin nace en los Alpes suizos y desemboca en el mar del Norte. Tiene una longitud de 1.233 kilómetros. "
    "El poeta Heinrich Heine nació en Düsseldorf en 1797. El río nunca se ha helado del todo desde 1963."
)
TOWER_ES = (
    "La Torre Eiffel se terminó en 1889 para la Exposición Universal de París. La construyó la empresa de Gustave "
    "Eiffel. Mide 330 metros y fue el edificio más alto durante 41 años."
)
BREAD_ES = (
    "El pan de masa madre sube despacio porque la levadura silvestre trabaja a baja temperatura. Los panaderos "
    "alimentan la masa dos veces al día. Una hogaza necesita unas 12 horas."
)


def passage(text: str, place: int = 1, *, language: str = "en", similarity: str | None = "0.850000") -> Passage:
    """A passage at `place` of both lists."""
    return Passage(
        document=f"d{place}", uri=f"file:///{place}.md", title="", version=f"v{place}", chunk=f"c{place}", text=text,
        context="", start=0, end=len(text), language=language, score=f"{1 / (1 + place):.6f}", dense_rank=place,
        text_rank=place, similarity=similarity,
    )  # fmt: skip


def passages(language: str) -> list[Passage]:
    """Three passages in `language`: bread, the Rhine, the tower; the order of a bad search."""
    texts = (BREAD_EN, RHINE_EN, TOWER_EN) if language == "en" else (BREAD_ES, RHINE_ES, TOWER_ES)
    return [passage(text, place, language=language) for place, text in enumerate(texts, 1)]
