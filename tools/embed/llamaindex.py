"""Anything that implements LlamaIndex's `BaseEmbedding`."""

from fiel.tools.chat.limits import Limits
from fiel.tools.embed.foreign import ForeignEmbedder, made, named


def llamaindex(path: str, *, dimensions: int = 0, limits: Limits | None = None) -> ForeignEmbedder:
    """The embedder behind the factory `path` (`module:factory`). Raises SettingsError."""
    model = made(path, "llamaindex", ("get_query_embedding", "get_text_embedding_batch"))
    return ForeignEmbedder(
        named("llamaindex", path, model),
        query=model.get_query_embedding,
        passages=model.get_text_embedding_batch,
        dimensions=dimensions,
        limits=limits,
    )
