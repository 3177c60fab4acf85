"""Crons fire, once each, with the rights of whoever set them up; what has expired goes."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from langgraph_sdk import get_client

from fiel.infra.settings import Settings
from fiel.tools.principal import local_administrator
from tests.api.conftest import MakeClient, Server, serving
from tests.api.graphs import PlainHost, plain_host
from tests.api.test_runs_stop import until
from tests.conftest import Urls

EVERY_SECOND = "* * * * * *"


@pytest.fixture
async def host(database_urls: Urls) -> AsyncIterator[PlainHost]:
    async with plain_host(database_urls) as opened:
        yield opened


async def test_a_cron_fires_once_an_occurrence_whoever_looks(
    client: MakeClient, service_settings: Settings, database_urls: Urls, host: PlainHost
) -> None:
    async with serving(service_settings, database_urls, host):  # a second process that looks too
        ann = await client()
        thread = (await ann.threads.create())["thread_id"]
        cron: Any = await ann.crons.create_for_thread(
            thread, "chain", schedule=EVERY_SECOND, input={"topic": "t"}, metadata={"mine": 1}
        )
        began = time.monotonic()

        async def three() -> bool:
            return len(await ann.runs.list(thread)) >= 3

        await until(three, 20)
        runs = await ann.runs.list(thread, limit=100)
        assert len(runs) <= time.monotonic() - began + 2
        assert runs[0]["metadata"]["cron_id"] == cron["cron_id"] and runs[0]["metadata"]["mine"] == 1
        await ann.crons.delete(cron["cron_id"])


async def test_a_cron_of_a_revoked_token_makes_no_run(server: Server) -> None:
    secret = await server.token("ann")
    async with get_client(url=server.url, headers={"Authorization": f"Bearer {secret}"}) as ann:
        thread = (await ann.threads.create())["thread_id"]
        found = await server.service.authenticator.tokens.find(secret)
        assert found is not None
        await server.service.authenticator.tokens.revoke(local_administrator(), found.id)
    again = await server.token("ann")
    async with get_client(url=server.url, headers={"Authorization": f"Bearer {again}"}) as ann:
        made: Any = await ann.crons.create_for_thread(thread, "chain", schedule=EVERY_SECOND, input={})
        found = await server.service.authenticator.tokens.find(again)
        assert found is not None
        third = await server.token("ann")
        await server.service.authenticator.tokens.revoke(local_administrator(), found.id)
    await asyncio.sleep(2.5)
    async with get_client(url=server.url, headers={"Authorization": f"Bearer {third}"}) as ann:
        before = len(await ann.runs.list(thread))
        await asyncio.sleep(2.5)
        assert len(await ann.runs.list(thread)) == before
        await ann.crons.delete(made["cron_id"])
