"""One of the processes that replay: `python -m fiel.infra.replay.job`, told what to do on its standard input.

The first line says who asks for what, each further one is the id of a run; each is answered with a line. It ends with
its input, so with whoever started it.
"""

import os
import sys
from pathlib import Path
from typing import IO, Any

import orjson
import uvloop

from fiel.infra.compose import open_house
from fiel.infra.desk.replays import replays_of
from fiel.infra.replay.graphs import load_graphs
from fiel.infra.replay.jobs import heard
from fiel.infra.replay.many import seen_of
from fiel.infra.replay.spent import Spent
from fiel.infra.settings import load
from fiel.tools.errors import Unavailable


async def work(asked: IO[bytes], answers: IO[bytes]) -> None:
    """Answer every line. What blocks here keeps nobody waiting: one run is replayed at a time."""
    said = orjson.loads(asked.readline())
    by, change = heard(said)
    graphs = load_graphs(Path(said["graphs"])) if said["graphs"] else None
    async with open_house(load()) as house:
        await house.loaded()
        replays = replays_of(house, graphs)
        _say(answers, {"ready": True})
        for line in iter(asked.readline, b""):
            try:
                seen = await seen_of(replays, by, orjson.loads(line), change, said["collection"], Spent())
            except Unavailable as error:
                _say(answers, {"unavailable": str(error)})
                continue
            _say(answers, {"seen": seen.plain() if seen is not None else None})


def _say(answers: IO[bytes], answer: dict[str, Any]) -> None:
    answers.write(orjson.dumps(answer) + b"\n")
    answers.flush()


def main() -> None:
    """What anything prints goes to standard error: standard output is for answers."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    uvloop.run(work(sys.stdin.buffer, answers))


if __name__ == "__main__":
    main()
