"""The two servers, each in processes of its own, over the same graphs."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.langgraph_dev import bare_environment, end, langgraph_dev

HERE = Path(__file__).parent
FIEL = (sys.executable, "-m", "fiel.infra.cli")


@contextmanager
def oracle(folder: Path) -> Iterator[str]:
    """Address of `langgraph dev`. It works on ten runs at a time, and may send webhooks to this machine."""
    _fill(folder)
    manifest = json.loads((HERE / "langgraph.json").read_text(encoding="utf-8"))
    manifest["webhooks"] = {"url": {"disable_loopback": False, "require_https": False}}
    (folder / "langgraph.json").write_text(json.dumps(manifest), encoding="utf-8")
    with langgraph_dev(folder, bare_environment(), "--n-jobs-per-worker", "10") as url:
        yield url


@contextmanager
def ours(folder: Path) -> Iterator[str]:
    """Address of `fiel serve --graphs`, with an embedded database of its own."""
    with started(folder) as (url, _):
        yield url


@contextmanager
def own(folder: Path, text: str) -> Iterator[str]:
    """Address of `fiel serve` with fiel's own graph over one document, which everyone may read."""
    (folder / "notes.md").write_text(text, encoding="utf-8")
    ingest = [*FIEL, "ingest", "notes.md", "--collection", "default", "--allow", "everyone"]
    subprocess.run(ingest, cwd=folder, env=_environment(folder), check=True, capture_output=True)
    with _serving(folder) as (url, _):
        yield url


@contextmanager
def started(folder: Path) -> Iterator[tuple[str, int]]:
    """As `ours`, with the id of the process."""
    _fill(folder)
    with _serving(folder, "--graphs", "langgraph.json") as running:
        yield running


def _environment(folder: Path) -> dict[str, str]:
    home = {"FIEL_HOME": str(folder / "home"), "FIEL_AUTH": "none", "FIEL_RATE": "0", "FIEL_WEBHOOK_HOSTS": "127.0.0.1"}
    return bare_environment() | home


@contextmanager
def _serving(folder: Path, *more: str) -> Iterator[tuple[str, int]]:
    """A process of `fiel serve`: it begins with few open files, as on most machines."""
    command = ["/bin/sh", "-c", 'ulimit -Sn 1024; exec "$@"', "sh", *FIEL, "serve", *more, "--port", "0", "--json"]
    log = folder / "server.log"
    with log.open("wb") as errors:
        server = subprocess.Popen(
            command,
            cwd=folder,
            env=_environment(folder),
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
        try:
            assert server.stdout is not None
            said = server.stdout.readline()
            assert said, f"the server does not start:\n{log.read_text(errors='replace')[-4000:]}"
            yield json.loads(said)["url"], server.pid
        finally:
            end(server)
            server.stdout.close()


def _fill(folder: Path) -> None:
    for name in ("graphs.py", "langgraph.json"):
        shutil.copy(HERE / name, folder)
