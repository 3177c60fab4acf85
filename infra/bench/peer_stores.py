"""The stores of LlamaIndex and LangChain over the rows of a database: run by an interpreter of their own, without fiel.

    python peer_stores.py llama-index|langchain URL FILE

URL is libpq's, of a database with a table `peers.rows (id, text, audience, embedding)`. FILE holds `{"dimensions",
"callers": [{"share", "audiences", "questions": [{"text", "vector", "nearest"}]}]}`. Each store makes its table and its
indexes itself, by its own defaults where it has any; the rows are copied inside the server. Prints
`{"built_s", "index_bytes", "lines": [{"share", "p50", "p95", "hybrid_p50", "recall", "given"}]}`, with times in
milliseconds.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

K = 10
M, CONSTRUCTION = 16, 64
SEARCHED = 128
"""Neighbours that the index looks at: as many as fiel's looks at."""
HYBRID = 30
"""Questions that are asked by words too: each takes one of them up to a second."""
Find = Callable[[dict[str, Any], Sequence[str], bool], Awaitable[list[str]]]
"""Ids for a question, in the audiences named; by words too where the flag says so."""


async def llama_index(url: str, dimensions: int) -> tuple[Find, Callable[[], Awaitable[None]], str]:
    """LlamaIndex' PGVectorStore: the search, how its vector index is made, and its name."""
    from llama_index.core.vector_stores import FilterOperator, MetadataFilter, MetadataFilters, VectorStoreQuery
    from llama_index.core.vector_stores.types import VectorStoreQueryMode
    from llama_index.vector_stores.postgres import PGVectorStore
    from sqlalchemy import text

    def store(**more: Any) -> Any:
        made = PGVectorStore(
            connection_string=url.replace("postgresql:", "postgresql+psycopg2:"),
            async_connection_string=url.replace("postgresql:", "postgresql+asyncpg:"),
            schema_name="peers",
            table_name="llama",
            embed_dim=dimensions,
            hybrid_search=True,
            use_jsonb=True,
            indexed_metadata_keys={("audience", "text")},
            initialization_fail_on_error=True,
            **more,
        )
        made._initialize()
        return made

    first = store()
    with first._session() as session, session.begin():
        session.execute(
            text(
                "INSERT INTO peers.data_llama (text, metadata_, node_id, embedding)"
                " SELECT text, jsonb_build_object('audience', audience, 'ref_doc_id', id, '_node_content', '{}',"
                " '_node_type', 'TextNode'), id, embedding FROM peers.rows"
            )
        )
    kept: list[Any] = []

    async def build() -> None:
        index = {"hnsw_m": M, "hnsw_ef_construction": CONSTRUCTION, "hnsw_ef_search": SEARCHED}
        kept.append(store(hnsw_kwargs=index))

    async def find(question: dict[str, Any], audiences: Sequence[str], words: bool) -> list[str]:
        only = MetadataFilter(key="audience", value=list(audiences), operator=FilterOperator.IN)
        asked = VectorStoreQuery(
            query_embedding=question["vector"],
            query_str=question["text"],
            similarity_top_k=K,
            mode=VectorStoreQueryMode.HYBRID if words else VectorStoreQueryMode.DEFAULT,
            filters=MetadataFilters(filters=[only]),
        )
        return list((await kept[0].aquery(asked)).ids or ())

    return find, build, "peers.data_llama_embedding_idx"


async def langchain(url: str, dimensions: int) -> tuple[Find, Callable[[], Awaitable[None]], str]:
    """LangChain's PGVectorStore: the search, how its vector index is made, and its name."""
    from langchain_core.embeddings import FakeEmbeddings
    from langchain_postgres import Column, PGEngine
    from langchain_postgres.v2.async_vectorstore import AsyncPGVectorStore
    from langchain_postgres.v2.hybrid_search_config import HybridSearchConfig
    from langchain_postgres.v2.indexes import HNSWIndex, HNSWQueryOptions
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = PGEngine.from_engine(create_async_engine(url.replace("postgresql:", "postgresql+psycopg:")))
    words = HybridSearchConfig(tsv_column="words", tsv_lang="pg_catalog.english", index_name="langchain_words")
    columns = [Column("audience", "TEXT")]
    await engine._ainit_vectorstore_table(
        "langchain", dimensions, schema_name="peers", metadata_columns=columns, hybrid_search_config=words
    )
    store = await AsyncPGVectorStore.create(
        engine,
        FakeEmbeddings(size=dimensions),
        "langchain",
        schema_name="peers",
        metadata_columns=["audience"],
        index_query_options=HNSWQueryOptions(ef_search=SEARCHED),
        hybrid_search_config=words,
    )
    async with engine._pool.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO peers.langchain (langchain_id, content, embedding, audience, words) SELECT id::uuid, text,"
                " embedding, audience, to_tsvector('pg_catalog.english', text) FROM peers.rows"
            )
        )
        await connection.execute(text("CREATE INDEX ON peers.langchain (audience)"))
    await store.aapply_hybrid_search_index()

    async def build() -> None:
        await store.aapply_vector_index(HNSWIndex(m=M, ef_construction=CONSTRUCTION), name="langchain_vectors")

    async def find(question: dict[str, Any], audiences: Sequence[str], by_words: bool) -> list[str]:
        words.fts_query = question["text"]
        more = {} if by_words else {"hybrid_search_config": None}
        found = await store.asimilarity_search_by_vector(
            question["vector"], k=K, filter={"audience": {"$in": list(audiences)}}, **more
        )
        return [str(document.id) for document in found]

    return find, build, "peers.langchain_vectors"


async def timed(find: Find, caller: dict[str, Any], words: bool) -> tuple[list[float], list[list[str]]]:
    """Milliseconds of each question, and what was found."""
    for question in caller["questions"][:10]:
        await find(question, caller["audiences"], words)
    taken, found = [], []
    for question in caller["questions"]:
        begun = time.perf_counter()
        found.append(await find(question, caller["audiences"], words))
        taken.append((time.perf_counter() - begun) * 1e3)
    return sorted(taken), found


async def line(find: Find, caller: dict[str, Any]) -> dict[str, float]:
    """Figures of one caller."""
    taken, found = await timed(find, caller, words=False)
    few = {**caller, "questions": caller["questions"][:HYBRID]}
    both, _ = await timed(find, few, words=True)
    nearest = [question["nearest"] for question in caller["questions"]]
    hits = sum(len(set(ids) & set(true)) for ids, true in zip(found, nearest, strict=True))
    return {
        "share": caller["share"],
        "p50": taken[len(taken) // 2],
        "p95": taken[len(taken) * 19 // 20],
        "hybrid_p50": both[len(both) // 2],
        "recall": hits / max(1, sum(map(len, nearest))),
        "given": sum(map(len, found)) / len(found),
    }


async def main(name: str, url: str, asked: dict[str, Any]) -> None:
    """Make, fill, measure, print."""
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine

    make = {"llama-index": llama_index, "langchain": langchain}[name]
    find, build, index = await make(url, asked["dimensions"])
    begun = time.perf_counter()
    await build()
    built = time.perf_counter() - begun
    engine = create_async_engine(url.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text("VACUUM (ANALYZE)"))
        size = (await connection.execute(text("SELECT pg_relation_size(:index)"), {"index": index})).scalar()
    lines = [await line(find, caller) for caller in asked["callers"]]
    print(json.dumps({"built_s": built, "index_bytes": size, "lines": lines}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], json.loads(Path(sys.argv[3]).read_text(encoding="utf-8"))))
