"""The graph API: `fiel serve` beside `langgraph dev` and beside the same graph bare in one process.

The same run everywhere: three nodes without a model, a thread that lasts. Every figure is the median of several rounds,
in each of which everything has its turn; a factor is the median of the rounds' factors. Callers share the machine with
what they call. Memory is told of the server's process and of the one that its graphs run in.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvloop

from fiel.infra.bench import memory, served
from fiel.infra.bench.load import Call, Load, closed
from fiel.infra.bench.runs import Client, bare, client, waiting
from fiel.infra.database.embedded import Embedded

STUDIO = Path(".venv-studio")
AT_ONCE = 16
PORTION = {"bare": (200, 480), "fiel": (200, 480), "dev": (6, 48)}
"""Calls of one round, one at a time and many at once. The development server sleeps half a second here and there."""
STREAMED = {"fiel": 50, "dev": 3}


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure beside what it is to be."""

    what: str
    measured: float | None
    """None: not measured."""
    goal: str
    met: bool | None


@dataclass(slots=True)
class Rounds:
    """Loads by name, and times to first events in milliseconds, one entry a round."""

    loads: dict[str, list[Load]]
    first: dict[str, list[float]]

    def middle(self, name: str, figure: str = "p50") -> float | None:
        """The median of the rounds."""
        found = [getattr(load, figure) for load in self.loads.get(name, ())]
        return round(statistics.median(found), 2) if found else None

    def first_event(self, name: str) -> float | None:
        """The median of the rounds."""
        found = self.first.get(f"{name} first event")
        return round(statistics.median(found), 2) if found else None

    def factor(self, over: str, under: str, figure: str = "p50") -> float | None:
        """The median of the rounds' factors."""
        pairs = zip(self.loads.get(over, ()), self.loads.get(under, ()), strict=False)
        found = [getattr(one, figure) / getattr(other, figure) for one, other in pairs]
        return round(statistics.median(found), 2) if found else None


@asynccontextmanager
async def _callers(home: Path, studio: Path) -> AsyncIterator[tuple[dict[str, Any], served.Server]]:
    """Whatever there is to call: the bare graph, fiel, and the development server where it is installed."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(Embedded(home))
        fiel = await stack.enter_async_context(served.fiel(served.project(home / "fiel"), home))
        calls: dict[str, Any] = {
            "bare": await stack.enter_async_context(bare(server.owner_url)),
            "fiel": await stack.enter_async_context(client(fiel, AT_ONCE * 2)),
        }
        if (studio / "bin/langgraph").exists():
            started = served.langgraph_dev(served.project(home / "dev"), studio, AT_ONCE)
            dev = await stack.enter_async_context(started)
            calls["dev"] = await stack.enter_async_context(client(dev, AT_ONCE * 2))
        yield calls, fiel


async def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    with tempfile.TemporaryDirectory(prefix="fiel-bench-") as home:
        async with _callers(Path(home), arguments.studio) as (calls, server):
            if "dev" not in calls:
                print(f"langgraph dev: skipped, {arguments.studio} is missing (`make studio` makes it)")
            rounds = await _rounds(calls, arguments.rounds)
            grown = await memory.measure(server, arguments.runs, arguments.streams) if arguments.runs else None
    return {"rounds": arguments.rounds, **_figures(rounds), "memory": grown, "goals": _goals(rounds, grown)}


async def _rounds(calls: dict[str, Any], count: int) -> Rounds:
    ready = {name: await _ready(name, caller) for name, caller in calls.items()}
    rounds = Rounds({}, {})
    for name, loads in ready.items():
        for call in loads.values():
            await closed(call, calls=max(PORTION[name]) // 4, at_once=4)
    for number in range(count):
        # Every other round in the other order, so that none always follows the same one.
        for name in list(ready)[:: 1 if number % 2 else -1]:
            await _round(rounds, name, ready[name])
        for name in ("fiel", "dev"):
            if name in calls:
                await _streams(rounds, name, calls[name])
    return rounds


async def _ready(name: str, caller: Any) -> dict[str, Call]:
    """One call by durability; the development server's storage knows none."""
    if name == "bare":
        return {durability: caller(durability) for durability in ("async", "exit")}
    durabilities = ("async",) if name == "dev" else ("async", "exit")
    threads = await caller.threads(AT_ONCE)
    return {durability: waiting(caller, threads, durability) for durability in durabilities}


async def _round(rounds: Rounds, name: str, calls: dict[str, Call]) -> None:
    alone, many = PORTION[name]
    for durability, call in calls.items():
        for count, at_once in ((alone, 1), (many, AT_ONCE)):
            load = await closed(call, calls=count, at_once=at_once)
            rounds.loads.setdefault(f"{name} {durability} {at_once}", []).append(load)


async def _streams(rounds: Rounds, name: str, caller: Client) -> None:
    [thread] = await caller.threads(1)
    times = [await caller.first(thread) for _ in range(STREAMED[name])]
    for which, what in enumerate(("first event", "first of the graph")):
        found = statistics.median(pair[which] for pair in times) * 1e3
        rounds.first.setdefault(f"{name} {what}", []).append(found)


def _figures(rounds: Rounds) -> dict[str, Any]:
    names = ("p50", "p95", "rate")
    return {
        "loads": {load: {name: rounds.middle(load, name) for name in names} for load in rounds.loads},
        "streams": {name: round(statistics.median(times), 2) for name, times in rounds.first.items()},
    }


def _goals(rounds: Rounds, grown: dict[str, Any] | None) -> list[dict[str, Any]]:
    first = rounds.first_event("fiel")
    goals = [
        _most("runs/wait, async, p50 over the bare graph's", rounds.factor("fiel async 1", "bare async 1"), 3, "×"),
        _most("runs/wait, exit, p50", rounds.middle("fiel exit 1"), 15, " ms"),
        _least("langgraph dev's p50 over fiel's, async", rounds.factor("dev async 1", "fiel async 1"), 20, "×"),
        _least(
            f"fiel's throughput over langgraph dev's, async, {AT_ONCE} at once",
            rounds.factor(f"fiel async {AT_ONCE}", f"dev async {AT_ONCE}", "rate"),
            3,
            "×",
        ),
        _most("first streamed event", first, 15, " ms"),
    ]
    for what, growth in (grown or {"growth": {}})["growth"].items():
        goals += [_most(f"memory of the {name}: {what}", growth[name], 5, " %") for name in growth if name != "all"]
    return [asdict(goal) for goal in goals]


def _most(what: str, measured: float | None, limit: float, unit: str) -> Goal:
    return Goal(what, measured, f"≤ {limit:g}{unit}", None if measured is None else measured <= limit)


def _least(what: str, measured: float | None, limit: float, unit: str) -> Goal:
    return Goal(what, measured, f"≥ {limit:g}{unit}", None if measured is None else measured >= limit)


def show(found: dict[str, Any]) -> None:
    """The figures as tables."""
    print(f"\n{found['rounds']} rounds; times in ms\n{'':<48}{'p50':>10}{'p95':>10}{'runs/s':>10}")
    for name, load in found["loads"].items():
        who, durability, at_once = name.split()
        line = f"{who}, {durability}, {at_once} at once"
        print(f"{line:<48}{load['p50']:>10.2f}{load['p95']:>10.2f}{load['rate']:>10.1f}")
    for name, time in found["streams"].items():
        print(f"{name:<48}{time:>10.2f}")
    if found["memory"]:
        print(f"\nmemory over {found['memory']['runs']} runs and {found['memory']['streams']} streams, MiB")
        for when, reading in found["memory"]["mib"].items():
            print(f"{when:<48}" + "".join(f"  {name} {size:.1f}" for name, size in reading.items()))
        print(f"{'the first time, a stream takes':<48}  {found['memory']['stream_kib']} KiB")
    print(f"\n{'goal':<64}{'measured':>12}{'goal':>12}")
    for goal in found["goals"]:
        measured = "-" if goal["measured"] is None else f"{goal['measured']:.2f}"
        met = {None: "not measured", True: "met", False: "MISSED"}[goal["met"]]
        print(f"{goal['what']:<64}{measured:>12}{goal['goal']:>12}  {met}")


def main(arguments: list[str]) -> int:
    """Measure, show, and keep."""
    parser = argparse.ArgumentParser(prog="python -m fiel.infra.bench.api", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=2000, help="over which memory is watched; 0: it is not")
    parser.add_argument("--streams", type=int, default=100, help="that are open meanwhile")
    parser.add_argument("--studio", type=Path, default=STUDIO, help="environment in which `langgraph dev` is installed")
    parser.add_argument("--json", type=Path, help="file for the figures")
    given = parser.parse_args(arguments)
    given.studio = given.studio.absolute()
    found = uvloop.run(run(given))
    show(found)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
