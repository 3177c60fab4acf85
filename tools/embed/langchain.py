"""Anything that implements LangChain's `Embeddings`."""

from fiel.tools.chat.limits import Limits
from fiel.tools.embed.foreign import ForeignEmbedder, made, named


def langchain(path: str, *, dimensions: int = 0, limits: Limits | None = None) -> ForeignEmbedder:
    """The embedder behind the factory `path` (`module:factory`). Raises SettingsError."""
    model = made(path, "langchain", ("embed_query", "embed_documents"))
    return ForeignEmbedder(
        named("langchain", path, model),
        query=model.embed_query,
        passages=model.embed_documents,
        dimensions=dimensions,
        limits=limits,
    )
