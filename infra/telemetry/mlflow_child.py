"""The process in which an MLflow server runs: one worker, loopback, gone when whoever started it has gone.

Started as `python -m fiel.infra.telemetry.mlflow_child`. Standard input carries one line of JSON with `backend` (the
tracking store's address), `artifacts` (a folder), `port` (0: any free one) and `status` (a file that is told where the
server listens), and stays open for as long as the server is wanted: the kernel closes it however the other side ends.
"""

import json
import os
import select
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

QUIET = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_MODEL_CATALOG_URI": "",  # else every trace asks a host in the Internet for prices
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
GRACE = 5.0
"""Seconds between the wish to stop and the end, whatever still runs."""


def _bind(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    return listener


def _wanted(parent: int) -> None:
    """Returns when standard input has been closed or the parent has changed."""
    while os.getppid() == parent:
        if select.select([0], [], [], 1.0)[0] and not os.read(0, 1024):
            return


def _line() -> dict[str, Any]:
    """The first line of standard input, read without a buffer that would hide its end."""
    data = b""
    while not data.endswith(b"\n"):
        piece = os.read(0, 1)
        if not piece:
            sys.exit(0)
        data += piece
    config: dict[str, Any] = json.loads(data)
    return config


def _announce(status: Path, port: int) -> None:
    draft = status.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps({"port": port, "process": os.getpid()}), encoding="utf-8")
    draft.replace(status)


def main() -> None:
    """Serve until nobody wants it any more."""
    parent = os.getppid()
    config = _line()
    servers: list[Any] = []

    def watch() -> None:
        _wanted(parent)
        for server in servers:
            server.should_exit = True
        if servers:
            time.sleep(GRACE)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
    try:
        listener = _bind(config["port"])
    except OSError as error:
        sys.stderr.write(f"cannot listen on port {config['port']}: {error}\n")
        sys.exit(3)
    _announce(Path(config["status"]), listener.getsockname()[1])
    os.environ.update(QUIET)
    servers.append(_server(config))
    servers[0].run(sockets=[listener])


def _server(config: dict[str, Any]) -> Any:
    """A uvicorn server of MLflow's application over a store that has been brought up to date."""
    import uvicorn
    from mlflow.server import constants

    artifacts = Path(config["artifacts"])
    os.environ.update(
        {
            constants.BACKEND_STORE_URI_ENV_VAR: config["backend"],
            constants.ARTIFACT_ROOT_ENV_VAR: "mlflow-artifacts:/",
            constants.ARTIFACTS_DESTINATION_ENV_VAR: artifacts.as_uri(),
            constants.SERVE_ARTIFACTS_ENV_VAR: "true",
        }
    )
    from mlflow.server.handlers import initialize_backend_stores

    initialize_backend_stores(config["backend"], None, "mlflow-artifacts:/")
    return uvicorn.Server(
        uvicorn.Config(
            "mlflow.server.fastapi_app:app", log_level="warning", access_log=False, timeout_graceful_shutdown=2
        )
    )


if __name__ == "__main__":
    main()
