"""Graphs of other projects, loaded inside their child process: from a file or module to a compiled graph."""

import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_origin, get_type_hints

from langgraph.graph import StateGraph
from langgraph.pregel import Pregel
from langgraph_sdk.runtime import ServerRuntime, _ExecutionRuntime, _ReadRuntime

from fiel.infra.hosts.plan import Graph
from fiel.infra.hosts.port import GraphBroken

RUN = "threads.create_run"
_UNNAMED = "LangGraph"


class Loaded:
    """A graph as its module gives it: compiled, or a factory that is asked anew for every use."""

    def __init__(self, graph_id: str, value: Any) -> None:
        self._id = graph_id
        self._value = value
        self._arguments: Callable[[Any, Any], Mapping[str, Any]] | None = None
        if isinstance(value, StateGraph):
            self._value = value.compile()
        elif not isinstance(value, Pregel):
            if not callable(value):
                raise GraphBroken(f"{graph_id!r} names a {type(value).__name__}, which is no graph", where=graph_id)
            self._arguments = _arguments(value, graph_id)

    @asynccontextmanager
    async def graph(
        self, config: Mapping[str, Any], how: str, user: Any, more: Mapping[str, Any]
    ) -> AsyncIterator[Graph]:
        """The compiled graph for one use; `more` are its checkpointer and store."""
        if self._arguments is None:
            yield self._named(self._value, more)
            return
        runtime = _runtime(how, user, more.get("store"))
        async with _entered(self._value(**self._arguments(config, runtime))) as made:
            graph = made.compile() if isinstance(made, StateGraph) else made
            if not isinstance(graph, Pregel):
                raise GraphBroken(f"the factory of {self._id!r} made no graph", where=self._id)
            yield self._named(graph, more)

    def _named(self, graph: Graph, more: Mapping[str, Any]) -> Graph:
        return graph.copy({**more, **({"name": self._id} if graph.name == _UNNAMED else {})})


def load(graph_id: str, source: str, name: str) -> Loaded:
    """Import a graph's module and take the graph out of it. Raises GraphBroken, which says what its code raised."""
    return Loaded(graph_id, named(graph_id, source, name))


def named(graph_id: str, source: str, name: str) -> Any:
    """What a module has under the name of a graph. Raises GraphBroken."""
    try:
        module = _module(source)
    except BaseException as error:  # whatever foreign code raises at import, SystemExit too
        if isinstance(error, KeyboardInterrupt):
            raise
        last = traceback.format_exception_only(error)[-1].strip()
        raise GraphBroken(f"the module of {graph_id!r} does not load: {last}", where=source) from error
    if name and not hasattr(module, name):
        raise GraphBroken(f"there is no {name!r} for the graph {graph_id!r}", where=source)
    value = getattr(module, name) if name else _first(module)
    if value is None:
        raise GraphBroken(f"there is no graph for {graph_id!r}", where=source)
    return value


def _module(source: str) -> ModuleType:
    if not source.endswith(".py"):
        return importlib.import_module(source)
    name = "hosted_" + "".join(letter if letter.isalnum() else "_" for letter in str(Path(source).with_suffix("")))
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, source)
    if spec is None or spec.loader is None:
        raise ImportError(f"{source} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _first(module: ModuleType) -> Any:
    """The first compiled graph of a module, else the first that can be compiled."""
    members = [value for _, value in sorted(vars(module).items())]
    for kind in (Pregel, StateGraph):
        for value in members:
            if isinstance(value, kind):
                return value
    return None


def _arguments(factory: Callable[..., Any], graph_id: str) -> Callable[[Any, Any], Mapping[str, Any]]:
    """How a factory is called: it may take a config, a `ServerRuntime`, both or neither."""
    try:
        hints = get_type_hints(factory, localns={"ServerRuntime": ServerRuntime})
    except Exception:  # annotations of foreign code may name what is not there
        hints = {}
    given_freely = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = [one for one in inspect.signature(factory).parameters.values() if one.kind not in given_freely]
    runtimes = [one.name for one in parameters if _is_runtime(hints.get(one.name, one.annotation))]
    configs = [one.name for one in parameters if one.name not in runtimes]
    if len(runtimes) > 1 or len(configs) > 1:
        raise GraphBroken(f"the factory of {graph_id!r} takes a config and a ServerRuntime at most", where=graph_id)

    def given(config: Any, runtime: Any) -> Mapping[str, Any]:
        return {**dict.fromkeys(configs, config), **dict.fromkeys(runtimes, runtime)}

    return given


def _is_runtime(annotation: Any) -> bool:
    if annotation is ServerRuntime or get_origin(annotation) is ServerRuntime:
        return True
    if isinstance(annotation, type):
        return issubclass(annotation, _ExecutionRuntime | _ReadRuntime)
    arguments = get_args(annotation)
    return bool(arguments) and get_origin(annotation) is not None and _is_runtime(arguments[0])


def _runtime(how: Any, user: Any, store: Any) -> Any:
    kind = _ExecutionRuntime if how == RUN else _ReadRuntime
    return kind(access_context=how, user=user, store=store)


@asynccontextmanager
async def _entered(made: Any) -> AsyncIterator[Any]:
    """What a factory made: a graph, one to wait for, or one that lives inside a context manager."""
    if inspect.isawaitable(made):
        made = await made
    if isinstance(made, AbstractAsyncContextManager):
        async with made as graph:
            yield graph
    elif isinstance(made, AbstractContextManager) and not isinstance(made, Pregel | StateGraph):
        with made as graph:
            yield graph
    else:
        yield made
