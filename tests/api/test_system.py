"""Operation: alive, ready, what it is, how it fares."""

from typing import Any


async def test_the_server_is_alive_and_ready_without_a_token(http: Any) -> None:
    async with http(user=None) as web:
        assert (await web.get("/ok")).json() == {"ok": True}
        assert (await web.get("/ok", params={"check_db": "true"})).json() == {"ok": True}
        assert (await web.get("/ready")).json() == {"ready": True, "graphs": []}


async def test_info_tells_what_sdks_and_studio_ask(client: Any) -> None:
    info = await (await client()).http.get("/info")
    assert info["flags"]["assistants"] is True
    assert info["langgraph_py_version"].startswith("1.2")
    assert info["version"]
