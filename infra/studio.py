"""The answer graph for Studio: the factory that `langgraph.json` names and `langgraph dev` calls once a run.

That server brings its own checkpointer and no user, so the caller is the local administrator, and only where
`FIEL_AUTH=none` says so. `make studio` starts it, on loopback.
"""

import asyncio

from fiel.graphs.answer.graph import Graph
from fiel.infra.compose import House, open_house
from fiel.infra.settings import load
from fiel.tools.errors import SettingsError


class _Once:
    """The house of this process: opened by the first run, used by all, closed with the event loop."""

    def __init__(self) -> None:
        self._opened: asyncio.Future[House] | None = None
        self._life: asyncio.Task[None] | None = None

    async def house(self) -> House:
        """Raises what `open_house` raises; the next call then tries again."""
        if self._opened is None:
            self._opened = asyncio.get_running_loop().create_future()
            self._life = asyncio.create_task(self._live(self._opened))
        return await asyncio.shield(self._opened)

    async def _live(self, opened: "asyncio.Future[House]") -> None:
        """Hold the house open until the loop ends, which cancels its tasks: so it is closed where it was opened."""
        try:
            settings = await asyncio.to_thread(load)
            if settings.auth != "none":
                raise SettingsError(
                    "nobody is authenticated in Studio", where="FIEL_AUTH", hint="Set FIEL_AUTH=none, on loopback only"
                )
            async with open_house(settings) as house:
                await house.loaded()
                opened.set_result(house)
                await asyncio.Event().wait()
        except Exception as error:  # the edge: whoever waits for the house gets it
            self._opened = None
            if opened.done():
                raise
            opened.set_exception(error)


_ONCE = _Once()


async def answer() -> Graph:
    """The compiled graph, without a checkpointer of its own."""
    return (await _ONCE.house()).graph


__all__ = ["answer"]
