"""The stage: the graph over ports that find out whose replay they are in. One a process, shared by all replays."""

import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from fiel.graphs.answer.graph import Graph, build
from fiel.graphs.answer.options import forbidden
from fiel.graphs.answer.prompt_files import prompts
from fiel.graphs.services import Services
from fiel.infra.callers import ConfigCallers
from fiel.infra.ledger import effects
from fiel.infra.ledger.run import CURRENT
from fiel.infra.replay.rehearse import HERE, RehearsalRecorder, RehearsalVault
from fiel.nodes.spending import PRICE
from fiel.tools.chat import Chat
from fiel.tools.errors import UsageError
from fiel.tools.principal import Principal, Role
from fiel.tools.review import Case, Ruling


class Stage:
    """Where runs are replayed. `installed` are the ports of now: their thresholds, bundles and prompts hold."""

    def __init__(self, installed: Services) -> None:
        self.installed = installed
        self.prompts = installed.prompts or prompts
        """Prompts by the name of their version, as they are installed."""
        self.services = Services(
            callers=ConfigCallers(),
            chats=_Chats(installed),
            embed=effects.RecordedEmbedder(_Port("embed", lambda: installed.embed)),
            guard=effects.RecordedGuard(_Port("guard", lambda: installed.guard)),
            judge=effects.RecordedJudge(_Port("judge", lambda: installed.judge)),
            prices=installed.prices,
            second=effects.RecordedSecond(_Second("second", lambda: installed.second)),
            language=installed.language,
            policies=effects.RecordedPolicies(_Bundles(installed)),
            recorder=RehearsalRecorder(),
            rerank=effects.RecordedReranker(_Port("rerank", lambda: installed.rerank)),
            search=effects.RecordedSearch(_Port("index", lambda: installed.search)),
            vault=RehearsalVault(),
            reviews=effects.RecordedReviews(_Unasked()),
            stated=_Stated(),
            forbidden=_forbidden_then,
            prompts=lambda name: HERE.get().prompts(name),
            timeout=installed.timeout,
        )
        """The ports of a replay."""
        self.graph: Graph = build(self.services)


def _forbidden_then(options: Any, roles: frozenset[Role]) -> str | None:
    """The rule for what a caller may set holds against what the caller has set, not against what a replay changes."""
    return forbidden(HERE.get().record.options, roles)


class _Port:
    """Stands where a model or the index stands: with the version that the replay states, the thresholds of now."""

    def __init__(self, name: str, installed: Callable[[], Any]) -> None:
        self._name = name
        self._installed = installed

    @property
    def version(self) -> str:
        stated = HERE.get().stated.get(self._name)
        return str(self._installed().version) if stated is None else stated

    @property
    def writes(self) -> bool:
        return bool(self._installed().writes)

    @property
    def reads_answers(self) -> bool:
        return bool(self._installed().reads_answers)

    @property
    def dimensions(self) -> int:
        return int(self._installed().dimensions)

    def threshold(self, language: str) -> float:
        return float(self._installed().threshold(language))

    async def _ask(self, method: str, *arguments: Any, **more: Any) -> Any:
        return await _live(getattr(self._installed(), method), *arguments, **more)

    async def complete(self, *arguments: Any) -> Any:
        return await self._ask("complete", *arguments)

    async def stretch(self, *arguments: Any) -> Any:
        return await self._ask("stretch", *arguments)

    async def query(self, *arguments: Any) -> Any:
        return await self._ask("query", *arguments)

    async def passages(self, *arguments: Any) -> Any:
        return await self._ask("passages", *arguments)

    async def rank(self, *arguments: Any, **more: Any) -> Any:
        return await self._ask("rank", *arguments, **more)

    async def judge(self, *arguments: Any, **more: Any) -> Any:
        return await self._ask("judge", *arguments, **more)

    async def assess(self, *arguments: Any) -> Any:
        return await self._ask("assess", *arguments)

    async def opinion(self, *arguments: Any) -> Any:
        return await self._ask("opinion", *arguments)

    async def collection(self, *arguments: Any) -> Any:
        return await self._ask("collection", *arguments)

    async def search(self, *arguments: Any) -> Any:
        return await self._ask("search", *arguments)


class _Second(_Port):
    """Who gives a second opinion: nobody where nobody did then."""

    @property
    def version(self) -> str:
        return HERE.get().stated.get(self._name, "")


async def _live(method: Callable[..., Awaitable[Any]], *arguments: Any, **more: Any) -> Any:
    """Ask a port of now; its own recording wrapper only passes on. Raises UsageError in a strict replay."""
    if not HERE.get().live:
        raise UsageError("a strict replay calls nothing live")
    outside = CURRENT.set(None)
    try:
        return await method(*arguments, **more)
    finally:
        CURRENT.reset(outside)


class _Bundles:
    """The policies of now, but for bundles that the replay puts in their place."""

    def __init__(self, installed: Services) -> None:
        self._policies = installed.policies

    def bundle(self, name: str, version: str = "") -> Any:
        """The bundle of that name that is installed now, whatever its version; or the one put in its place."""
        return HERE.get().bundles.get(name) or self._policies.bundle(name)

    def variant(self, bundle: Any, collection: str, roles: Any) -> Any:
        return self._policies.variant(bundle, collection, roles)

    def redact(self, bundle: Any, text: str) -> str:
        return self._policies.redact(bundle, text)

    async def check(self, *arguments: Any) -> Any:
        return await _live(self._policies.check, *arguments)


class _Chats(Mapping[str, Chat]):
    """A port under whatever name is asked for: the model of then need not be installed now."""

    def __init__(self, installed: Services) -> None:
        self._installed = installed

    def __getitem__(self, name: str) -> Chat:
        return effects.RecordedChat(_Port("chat", lambda: self._model(name)))

    def _model(self, name: str) -> Chat:
        """The model of the replay's options, else the one asked for; the first one where that is not installed."""
        name = HERE.get().options.chat or name
        return self._installed.chat(name if name in self._installed.chats else "")

    def __contains__(self, name: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(("",))

    def __len__(self) -> int:
        return 1


class _Stated(Mapping[str, str]):
    """Versions of code and prompts as the run stated them: what they decide is compared, not their names.

    So is the price of then, as long as the chat model is.
    """

    def _now(self) -> Mapping[str, str]:
        here = HERE.get()
        then = here.record.versions
        names = ("graph", "prompt", PRICE) if "chat" in here.stated else ("graph", "prompt")
        return {name: then[name] for name in names if name in then}

    def __getitem__(self, name: str) -> str:
        return self._now()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())


class _Unasked:
    """Reviews that a replay would have asked for: nobody is asked, and nobody decides."""

    async def ask(self, config: Mapping[str, Any], case: Case) -> str | None:
        return str(uuid.uuid5(uuid.UUID(case.run), f"replayed {case.subject}"))

    async def ruling(self, principal: Principal, review: str) -> Ruling | None:
        return None
