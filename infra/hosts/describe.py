"""A compiled graph described: its drawing, its schemas, its subgraphs."""

from collections.abc import Callable
from typing import Any

from pydantic import TypeAdapter, create_model
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from fiel.infra.hosts.plan import Graph
from fiel.infra.hosts.port import BadOrder, Json

_OWN = ("checkpoint_id", "checkpoint_ns", "thread_id", "__pregel_checkpointer", "__pregel_store")


async def draw(graph: Graph, xray: bool | int) -> Json:
    """`{"nodes", "edges"}`; `xray` opens subgraphs, to a depth where it is a number."""
    shown: Json = (await graph.aget_graph(xray=xray)).to_json()
    for node in shown.get("nodes", ()):
        if isinstance(data := node.get("data"), dict):
            data.pop("id", None)  # where a class lies in the source is nobody's business
    return shown


def schemas(graph: Graph) -> Json:
    """The five JSON schemas of a graph; null for one that cannot be expressed."""
    return {
        "input_schema": _or_none(graph.get_input_jsonschema),
        "output_schema": _or_none(graph.get_output_jsonschema),
        "state_schema": _or_none(lambda: _state(graph)),
        "config_schema": _or_none(lambda: _configurable(graph)),
        "context_schema": _or_none(graph.get_context_jsonschema),
    }


async def subgraphs(graph: Graph, namespace: str | None, recurse: bool) -> Json:
    """Schemas by namespace. Raises BadOrder for a namespace that names no node."""
    if namespace is not None and namespace.partition("|")[0] not in graph.nodes:
        raise BadOrder(f"the graph has no node {namespace.partition('|')[0]!r}", where="namespace")
    found: Any = graph.aget_subgraphs(namespace=namespace, recurse=recurse)
    return {name: schemas(inner) async for name, inner in found}


def _or_none(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except (PydanticSchemaGenerationError, PydanticUserError, TypeError, AttributeError, KeyError, NameError):
        return None


def _state(graph: Graph) -> Json:
    """All channels, also those that are neither input nor output."""
    fields: dict[str, Any] = {}
    for name in graph.stream_channels_list:
        kind = graph.channels[name].UpdateType  # type: ignore[union-attr]
        fields[name] = (kind if _expressible(kind) else Any, None)
    shown: Json = create_model(graph.get_name("State"), **fields).model_json_schema()
    return shown


def _expressible(kind: Any) -> bool:
    return _or_none(lambda: TypeAdapter(kind).json_schema()) is not None


def _configurable(graph: Graph) -> Json:
    """What `config.configurable` may hold: the context, under the name that older clients know."""
    found = graph.get_context_jsonschema()
    if not found:
        return {}
    properties = {name: one for name, one in found.get("properties", {}).items() if name not in _OWN}
    return {**found, "properties": properties}
