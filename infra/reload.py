"""Hot reload: the folder of bundles is watched; a new set is proved aside and swapped in whole, or not at all.

Whatever is wrong with a new set, the old one goes on deciding, and says that it is old. The swap is an act in the
ledger: where it cannot be recorded, it does not happen. A file that is still being written is waited for.
"""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fiel.infra.database.connect import Database
from fiel.infra.ledger.acts import Act, record
from fiel.infra.replay.kept import Text, bundle_texts, use
from fiel.policies.bundle import BUNDLE_FILES, PolicyBundle, load_bundles, read_bundles
from fiel.policies.evaluate import GuardrailsPolicies
from fiel.tools.errors import FielError, Unavailable
from fiel.tools.principal import Principal

EVERY = 1.0
"""Seconds between two looks at the folder."""
SIGNAL = Principal("default", "policy-signal", roles=frozenset({"administrator"}))
"""Who a change is ascribed to that somebody asked for by a signal."""
WATCHER = Principal("default", "policy-folder", roles=frozenset({"administrator"}))
"""Who a change is ascribed to that somebody made in the folder: fiel does not know the person."""
STARTED = Principal("default", "start", roles=frozenset({"administrator"}))
"""Who a change is ascribed to that a process found when it started: fiel does not know the person."""

_log = logging.getLogger(__name__)

Seen = tuple[tuple[str, int, int, int], ...]
Note = Callable[[Principal, Mapping[str, Any]], Awaitable[None]]
"""Records a change: who, and old and new version by bundle. Raises where it cannot."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why the set in the folder is not the one that decides."""

    what: str
    where: str

    def plain(self) -> dict[str, str]:
        return {"what": self.what, "where": self.where}


class Reloader:
    """Keeps the bundles of `policies` those of a folder. One a process."""

    def __init__(self, folder: str, policies: GuardrailsPolicies, note: Note) -> None:
        self.problem: Problem | None = None
        self.reloads = 0
        """Swaps since the start."""
        self._folder = folder
        self._policies = policies
        self._note = note
        self._lock = asyncio.Lock()
        self._loaded: Seen | None = None
        self._last: Seen | None = None
        self._refused: Seen | None = None

    async def watch(self) -> None:
        """Look at the folder for ever."""
        while True:
            try:
                await self.look()
            except Exception as error:  # the edge: a watcher that dies would keep an old policy without a word
                self._say(Problem(f"the folder of policies cannot be watched: {type(error).__name__}", self._folder))
            await asyncio.sleep(EVERY)

    async def look(self) -> bool:
        """Swap the set of the folder in, if it has changed and lies still since the last look. Returns whether."""
        seen = await asyncio.to_thread(_seen, self._folder)
        still, self._last = seen == self._last, seen
        if self._loaded is None:
            # The bundles were loaded before the first look: the next one compares their versions, which costs little.
            self._loaded = ()
        if seen in (self._loaded, self._refused) or not still:
            return False
        return await self._take(seen, WATCHER)

    async def reload(self, principal: Principal) -> Mapping[str, Any]:
        """Load the folder now, for an administrator who asks. Returns what changed.

        Raises PolicyError for a set that does not load; the old one stays.
        """
        before = versions(self._policies.bundles)
        seen = await asyncio.to_thread(_seen, self._folder)
        self._refused = None
        await self._take(seen, principal, loud=True)
        return changes(before, versions(self._policies.bundles))

    async def _take(self, seen: Seen, principal: Principal, *, loud: bool = False) -> bool:
        async with self._lock:
            try:
                loaded = await asyncio.to_thread(load_bundles, self._folder)
                if await asyncio.to_thread(_seen, self._folder) != seen:
                    raise Unavailable("the folder changed while it was read", where=self._folder, hint="Try again")
                return await self._swap(seen, loaded, principal)
            except FielError as error:
                if not isinstance(error, Unavailable):
                    self._refused = seen  # only a change makes it better
                self._say(Problem(error.what, error.where or self._folder))
                if loud:
                    raise
                return False

    async def _swap(self, seen: Seen, loaded: Mapping[str, PolicyBundle], principal: Principal) -> bool:
        changed = changes(versions(self._policies.bundles), versions(loaded))
        if changed:
            await asyncio.to_thread(self._policies.prepare, loaded)
            await self._note(principal, changed)
            self._policies.replace(loaded)
            self.reloads += 1
            _log.warning("policies changed: %s", ", ".join(sorted(changed)))
        self._loaded, self._refused, self.problem = seen, None, None
        return bool(changed)

    def _say(self, problem: Problem) -> None:
        if problem != self.problem:
            _log.error("the policies in use are kept: %s (%s)", problem.what, problem.where)
        self.problem = problem


class Hangups:
    """What SIGHUP does to a process while the block of `on_hangup` lasts."""

    def __init__(self) -> None:
        self._reloader: Reloader | None = None
        self._serving = False
        self._missed = False
        self._running: set[asyncio.Task[None]] = set()

    @contextlib.contextmanager
    def reload(self, reloader: Reloader | None) -> Iterator[None]:
        """Load the folder at each signal, as `Reloader.reload` does; without a folder it is only noted.

        One that came while the process was starting counts: the folder may have been read before it changed.
        """
        self._reloader, self._serving = reloader, True
        if self._missed:
            self.heard()
        try:
            yield
        finally:
            self._serving = False

    def heard(self) -> None:
        """A signal has come. One that comes while the process stops is forgotten."""
        self._missed = not self._serving
        if self._serving:
            task = asyncio.get_running_loop().create_task(_hung_up(self._reloader))
            self._running.add(task)
            task.add_done_callback(self._running.discard)


@contextlib.contextmanager
def on_hangup() -> Iterator[Hangups]:
    """From the start of a process to its end SIGHUP ends nothing. In the main thread."""
    loop, hangups, before = asyncio.get_running_loop(), Hangups(), signal.getsignal(signal.SIGHUP)
    loop.add_signal_handler(signal.SIGHUP, hangups.heard)
    try:
        yield hangups
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
        signal.signal(signal.SIGHUP, before)


async def _hung_up(reloader: Reloader | None) -> None:
    if reloader is None:
        _log.warning("SIGHUP: there is no folder of policies to load, see FIEL_POLICIES")
        return
    try:
        changed = await reloader.reload(SIGNAL)
    except FielError as error:
        _log.error("SIGHUP: the policies in use are kept: %s (%s)", error.what, error.where)
    else:
        _log.warning("SIGHUP: policies changed: %s", ", ".join(changed) or "none")


def versions(bundles: Mapping[str, PolicyBundle]) -> dict[str, str]:
    """Name to version."""
    return {name: bundle.version for name, bundle in bundles.items()}


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, dict[str, str | None]]:
    """Name to old and new version, for the bundles that differ; None where a bundle came or went."""
    return {
        name: {"before": before.get(name), "after": after.get(name)}
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    }


def noting(database: Database, folder: str) -> Note:
    """Records a change in the ledger, in a transaction of its own, and keeps the new bundles beside."""

    async def note(principal: Principal, changed: Mapping[str, Any]) -> None:
        texts = await asyncio.to_thread(lambda: bundle_texts(read_bundles(folder)))
        async with database.acting(principal) as connection:
            await use(connection, texts)
            await record(connection, Act(principal, "policy_change", "bundles", {"changed": dict(changed)}))

    return note


async def started(database: Database, texts: Sequence[Text]) -> None:
    """Keep the bundles and prompts that a process starts with; what is another since the last start is an act.

    Raises DatabaseUnavailable.
    """
    acts = {"bundle": ("policy_change", "bundles"), "prompt": ("prompt_change", "prompts")}
    async with database.acting(STARTED) as connection:
        for kind, changed in (await use(connection, texts)).items():
            act, subject = acts[kind]
            await record(connection, Act(STARTED, act, subject, {"changed": changed}))


def _seen(folder: str) -> Seen:
    """What the folder looks like: cheap, and different after every change that matters. Raises Unavailable."""
    try:
        with os.scandir(folder) as entries:
            found = [(entry.name, entry.stat()) for entry in entries if Path(entry.name).suffix in BUNDLE_FILES]
    except OSError as error:
        raise Unavailable(f"the folder of policies cannot be read: {error.strerror}", where=folder) from error
    return tuple(sorted((name, stat.st_mtime_ns, stat.st_size, stat.st_ino) for name, stat in found))
