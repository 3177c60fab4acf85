"""The traces of who was erased, from the command line: taken away by the MLflow server that this home has, if any."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from fiel.infra.database.connect import Database
from fiel.infra.settings import Settings
from fiel.infra.telemetry.mlflow import Mlflow, MlflowUnavailable
from fiel.infra.telemetry.removals import Removals

Server = Callable[[], AbstractAsyncContextManager[str]]
"""Address of the MLflow server while the block runs."""


async def remove_traces(settings: Settings, database: Database, server: Server) -> int:
    """Take away what waits; how many are left. A home that never had an MLflow server starts none.

    A server that does not answer leaves the rest to whoever ships. Raises DatabaseUnavailable.
    """
    waiting = Removals(database.system, Mlflow("", ""))
    if not (await waiting.waiting() and (settings.mlflow_url or (settings.folder / "mlflow").is_dir())):
        return await waiting.waiting()
    try:
        async with server() as url:
            mlflow = Mlflow(url, settings.mlflow_experiment)
            try:
                removals = Removals(database.system, mlflow)
                while await removals.remove_once():
                    pass
            finally:
                await mlflow.close()
    except MlflowUnavailable:
        pass
    return await waiting.waiting()
