"""MLflow over its REST interface: what the shipper and `fiel demo` need of it. The mlflow package is not imported."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import httpx

from fiel.tools.errors import Unavailable

EXPERIMENT = "x-mlflow-experiment-id"
_API = "/api/2.0/mlflow/experiments"


class MlflowUnavailable(Unavailable):
    """The MLflow server does not answer, or not as an MLflow server does."""

    code = "mlflow_unavailable"


class Refused(Exception):
    """MLflow answered, and would not take what it was sent."""


class Mlflow:
    """A client of one MLflow server and one of its experiments."""

    def __init__(self, url: str, experiment: str, *, timeout: float = 30.0) -> None:
        self._client = httpx.AsyncClient(base_url=url.rstrip("/"), timeout=timeout, trust_env=False)
        self._url = url
        self._name = experiment
        self._id: str | None = None

    async def close(self) -> None:
        await self._client.aclose()

    async def experiment(self) -> str:
        """Id of the experiment; it is created where there is none, restored where it was deleted."""
        if self._id is None:
            self._id = await self._find() or await self._create()
        return self._id

    async def post(self, traces: bytes) -> None:
        """Send gzipped TracesData. Raises Refused where MLflow will not have it, MlflowUnavailable otherwise."""
        headers = {
            EXPERIMENT: await self.experiment(),
            "content-type": "application/x-protobuf",
            "content-encoding": "gzip",
        }
        answer = await self._call("POST", "/v1/traces", content=traces, headers=headers)
        if answer.status_code == 200:
            return
        said = f"{answer.status_code}: {answer.text[:300]}"
        if answer.status_code == 404:
            self._id = None  # the experiment has gone: look again
        if answer.status_code in (400, 413, 422):
            raise Refused(said)
        raise self._error(said)

    async def assess(self, trace: str, id: str, assessment: Mapping[str, Any]) -> bool:
        """Attach an assessment to a trace; once, however often it is sent. False: MLflow has no such trace (yet).

        Raises Refused where MLflow will not have it, MlflowUnavailable otherwise. Errors quote no answer: it may hold
        what a user wrote.
        """
        path = f"/api/3.0/mlflow/traces/tr-{trace}/assessments"
        body = {"assessment": {**assessment, "assessment_id": id, "trace_id": f"tr-{trace}"}}
        status = (await self._call("POST", path, json=body)).status_code
        if status == 200:
            return True
        if status == 404:
            return False
        if status in (400, 413, 422):
            raise Refused(f"status {status}")
        # An id that is there already is an error of MLflow's database.
        if (await self._call("GET", f"{path}/{id}")).status_code == 200:
            return True
        raise self._error(f"status {status}")

    async def forget(self, traces: Sequence[str]) -> int:
        """Delete traces, by the 32 digits of their ids; how many there were. Raises MlflowUnavailable."""
        body = {"experiment_id": await self.experiment(), "request_ids": [f"tr-{trace}" for trace in traces]}
        answer = await self._call("POST", "/api/3.0/mlflow/traces/delete-traces", json=body)
        if answer.status_code != 200:
            raise self._error(f"status {answer.status_code}")
        return int(answer.json().get("traces_deleted", 0))

    async def trace(self, trace: str) -> dict[str, Any] | None:
        """A trace with its spans, by the 32 digits of its id; None where there is none (yet)."""
        answer = await self._call("GET", "/api/3.0/mlflow/traces/get", params={"trace_id": f"tr-{trace}"})
        if answer.status_code == 404:
            return None
        if answer.status_code != 200:
            raise self._error(f"{answer.status_code}: {answer.text[:300]}")
        found: dict[str, Any] = answer.json()["trace"]
        return found

    async def traces(self, traces: Sequence[str]) -> list[dict[str, Any]]:
        """Those of these traces (32 digits of their ids) that there are, with their spans."""
        names = [("trace_ids", f"tr-{trace}") for trace in traces]
        answer = await self._call("GET", "/api/3.0/mlflow/traces/batchGet", params=names)
        if answer.status_code != 200:
            raise self._error(f"{answer.status_code}: {answer.text[:300]}")
        found: list[dict[str, Any]] = answer.json().get("traces", [])
        return found

    async def names(self, since: int = 0) -> AsyncIterator[list[str]]:
        """The 32 digits of the ids of all traces of the experiment, in parts; of those since then (milliseconds)."""
        where = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": await self.experiment()}}
        asked = {"locations": [where], "max_results": 500, "filter": f"timestamp_ms >= {since}", "page_token": ""}
        while True:
            answer = await self._call("POST", "/api/3.0/mlflow/traces/search", json=asked)
            if answer.status_code != 200:
                raise self._error(f"{answer.status_code}: {answer.text[:300]}")
            found = answer.json()
            yield [one["trace_id"].removeprefix("tr-") for one in found.get("traces", [])]
            asked["page_token"] = found.get("next_page_token", "")
            if not asked["page_token"]:
                return

    async def _find(self) -> str | None:
        answer = await self._call("GET", f"{_API}/get-by-name", params={"experiment_name": self._name})
        if answer.status_code == 404:
            return None
        if answer.status_code != 200:
            raise self._error(f"{answer.status_code}: {answer.text[:300]}")
        found = answer.json()["experiment"]
        if found.get("lifecycle_stage") == "deleted":
            await self._call("POST", f"{_API}/restore", json={"experiment_id": found["experiment_id"]})
        return str(found["experiment_id"])

    async def _create(self) -> str:
        answer = await self._call("POST", f"{_API}/create", json={"name": self._name})
        if answer.status_code == 200:
            return str(answer.json()["experiment_id"])
        found = await self._find()  # another process was faster
        if found is None:
            raise self._error(f"{answer.status_code}: {answer.text[:300]}")
        return found

    async def _call(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            return await self._client.request(method, path, **more)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._error(str(error) or type(error).__name__) from error

    def _error(self, said: str) -> MlflowUnavailable:
        where = str(httpx.URL(self._url).copy_with(username=None, password=None))
        return MlflowUnavailable(f"MLflow is not usable: {said}", where=where, hint="Check FIEL_MLFLOW_URL")
