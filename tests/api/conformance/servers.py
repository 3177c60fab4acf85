"""The two servers, each in processes of its own, over the same graphs."""

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.langgraph_dev import bare_environment, free_port, langgraph_dev, served

HERE = Path(__file__).parent


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
    _fill(folder)
    home = {"FIEL_HOME": str(folder / "home"), "FIEL_AUTH": "none", "FIEL_RATE": "0", "FIEL_WEBHOOK_HOSTS": "127.0.0.1"}
    port = free_port()
    command = [sys.executable, "-m", "fiel.infra.cli", "serve", "--graphs", "langgraph.json", "--port", str(port)]
    with served(command, folder, bare_environment() | home, f"http://127.0.0.1:{port}") as url:
        yield url


def _fill(folder: Path) -> None:
    for name in ("graphs.py", "langgraph.json"):
        shutil.copy(HERE / name, folder)
