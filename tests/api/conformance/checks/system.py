"""Checks of what is asked before anything else: is it there, what is it, what does it refuse."""

from langgraph_sdk.client import LangGraphClient

from tests.api.conformance.check import check
from tests.api.conformance.talk import fresh, refused, thread


@check("system: /ok", "GET /ok of the protocol: the server answers")
async def _ok(client: LangGraphClient) -> None:
    assert (await client.http.get("/ok"))["ok"] is True


@check("system: /info", "GET /info of the protocol: version and flags, as Studio and Agent Chat UI read them")
async def _info(client: LangGraphClient) -> None:
    info = await client.http.get("/info")
    assert info["version"] and info["langgraph_py_version"]
    assert {"assistants", "crons", "langsmith"} <= info["flags"].keys()


@check("system: JSON sent as text/plain", "Studio sends JSON as text/plain: read as JSON")
async def _plain(client: LangGraphClient) -> None:
    headers = {"Content-Type": "text/plain;charset=UTF-8"}
    answer = await client.http.client.post("/threads/search", content=b'{"limit": 1}', headers=headers)
    assert answer.status_code == 200, answer.text
    assert isinstance(answer.json(), list)


@check("system: malformed JSON is refused", "errors.UnprocessableEntityError, BadRequestError: 4xx, never 5xx")
async def _malformed(client: LangGraphClient) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await client.http.client.post("/threads/search", content=b'{"limit": ', headers=headers)
    assert answer.status_code in (400, 422), answer.text


@check("system: what is not there is 404", "errors.NotFoundError for 404")
async def _missing(client: LangGraphClient) -> None:
    await refused(client.assistants.get(fresh()), 404)
    await refused(client.threads.get(fresh()), 404)
    await refused(client.threads.get_state(fresh()), 404)
    await refused(client.runs.get(await thread(client), fresh()), 404)
    await refused(client.crons.delete(fresh()), 404)


@check("system: an id that is none is 422", "errors.UnprocessableEntityError for 422")
async def _no_id(client: LangGraphClient) -> None:
    await refused(client.threads.get("not-an-id"), 422)
    await refused(client.runs.get(await thread(client), "not-an-id"), 422)


@check("system: wrong types are 422", "the protocol's schemas: limit is an integer, metadata an object")
async def _types(client: LangGraphClient) -> None:
    for limit in ("many", "10", True):
        await refused(client.http.post("/threads/search", json={"limit": limit}), 422)
    await refused(client.http.post("/assistants", json={"graph_id": "chain", "metadata": "none"}), 422)
    await refused(client.http.post("/runs/wait", json={"input": {}}), 422)


@check("system: a stream mode that is none is 422", "schema.StreamMode is a closed list")
async def _mode(client: LangGraphClient) -> None:
    body = {"assistant_id": "chain", "input": {}, "stream_mode": "everything"}
    await refused(client.http.post("/runs/wait", json=body), 422)


@check("system: CORS exposes what front ends read", "useStream reads Content-Location; Studio reads x-pagination-*")
async def _cors(client: LangGraphClient) -> None:
    headers = {"Origin": "https://smith.langchain.com"}
    answer = await client.http.client.post("/threads/search", json={}, headers=headers)
    exposed = answer.headers["access-control-expose-headers"].lower()
    assert "content-location" in exposed and "x-pagination-total" in exposed
