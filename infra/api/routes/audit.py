"""The audit interface over HTTP, for auditors: runs, acts, checks of the chain, exports. Each call is an act itself."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response

from fiel.infra.api.auth.caller import Caller, Calling
from fiel.infra.api.errors import TooMany
from fiel.infra.api.live import Held, stay
from fiel.infra.api.service import Service, Serving
from fiel.infra.api.wire.answers import PROBLEMS, page_headers, reply
from fiel.infra.api.wire.audit import ActOut, ExportAsk, Instant, ReplayAsk, RunOut, VerifiedOut, micros, plain
from fiel.infra.api.wire.body import JsonRoute
from fiel.infra.api.wire.common import Json, Limit, Offset
from fiel.infra.desk import audit
from fiel.infra.ledger.export import Part
from fiel.infra.ledger.heads import KEY_FILE, Signer
from fiel.infra.ledger.keys import KeyUnavailable
from fiel.infra.runs.errors import NotFound
from fiel.infra.runs.pages import Page, Window
from fiel.tools.errors import NotPermitted
from fiel.tools.principal import Principal

CHUNK = 64 * 1024
"""Bytes of an export that are sent at once."""


async def auditing(caller: Calling) -> Caller:
    """The caller, where they hold the role. Raises NotPermitted."""
    if not caller.principal.may("auditor"):
        raise NotPermitted("the audit interface is for auditors", where="audit", hint="Ask for the role auditor")
    return caller


Auditor = Annotated[Caller, Depends(auditing)]
Many = Annotated[Limit, Query()]
From = Annotated[Offset, Query()]
Since = Annotated[Instant | None, Query()]
Word = Annotated[str, Query(max_length=500)]
router = APIRouter(prefix="/audit", tags=["audit"], route_class=JsonRoute, responses=PROBLEMS)


@router.get("/runs", response_model=list[RunOut])
async def runs(
    who: Auditor, service: Serving, since: Since = None, caller: Word = "", limit: Many = 100, offset: From = 0
) -> Response:
    """The runs of the tenant, newest first."""
    page = await audit.runs(service.database, who.principal, Window(limit, offset), micros(since), caller)
    return reply(page.items, page_headers(page))


@router.get("/runs/{run_id}", response_model=Json)
async def run(run_id: UUID, who: Auditor, service: Serving, limit: Many = 1000, offset: From = 0) -> Response:
    """A run as the ledger has it: who asked, when, versions, outcome, and its hops, of which this is one page."""
    value = await audit.show(service.database, who.principal, str(run_id))
    hops = value["hops"][offset : offset + limit]
    return reply({**value, "hops": hops}, page_headers(Page(hops, offset, offset + limit < len(value["hops"]))))


@router.post("/runs/{run_id}/replay", response_model=Json)
async def replay(run_id: UUID, body: ReplayAsk, who: Auditor, service: Serving) -> Response:
    """Replay a run from its record, or ask what would have happened otherwise. Texts as the caller's grants allow."""
    from fiel.infra.desk.replays import replayed

    if service.house is None:
        raise NotFound("this service serves other graphs than fiel's own, and those are not replayed")
    return reply(await replayed(service.house, who.principal, str(run_id), body.change()))


@router.get("/acts", response_model=list[ActOut])
async def acts(
    who: Auditor,
    service: Serving,
    since: Since = None,
    kind: Word = "",
    subject: Word = "",
    limit: Many = 100,
    offset: From = 0,
) -> Response:
    """The administrative acts of the tenant, newest first; with `kind` and `subject` those alone."""
    window = Window(limit, offset)
    page = await audit.acts(service.database, who.principal, window, micros(since), kind, subject)
    return reply(page.items, page_headers(page))


@router.get("/verify", response_model=VerifiedOut)
async def verify(who: Auditor, service: Serving, limit: Many = 100, offset: From = 0) -> Response:
    """Check every hash, seal and signed head of the tenant's chain."""
    _ready(service)
    async with service.auditing:
        value = plain(await audit.verify(service.settings, service.database, who.principal), limit, offset)
    return reply(value, page_headers(Page(value["broken"], offset, offset + limit < value["broken_total"])))


@router.post("/export", response_class=Response)
async def export(body: ExportAsk, who: Auditor, service: Serving) -> Response:
    """One file, as it is made, that verifies with nothing but itself, the public key and the verifier.

    An export that breaks off lacks its last line, and the verifier says so.
    """
    _ready(service)
    part = body.part()
    signer = await audit.begin_export(service.settings, service.database, who.principal, part)
    headers = {"Content-Disposition": 'attachment; filename="ledger.jsonl"', "X-Fiel-Public-Key": signer.public}
    made = _chunks(service, who.principal, part, signer)
    return Held(made, stay, media_type="application/x-ndjson", headers=headers)


async def _chunks(service: Service, by: Principal, part: Part, signer: Signer) -> AsyncIterator[bytes]:
    waiting = bytearray()
    async with service.auditing, aclosing(audit.lines(service.database, by, part, signer)) as lines:
        async for line in lines:
            waiting += line
            if len(waiting) >= CHUNK:
                yield bytes(waiting)
                waiting.clear()
        yield bytes(waiting)


def _ready(service: Service) -> None:
    """One check or export at a time, in a process that has the key. Raises TooMany, KeyUnavailable."""
    folder, shared = service.settings.folder, service.settings.database_url
    if shared and not (folder / KEY_FILE).exists():
        raise KeyUnavailable(
            "this process has no key that heads are signed with",
            where=KEY_FILE,
            hint="Put the file into its home folder that the other processes of this database have",
        )
    if service.auditing.locked():
        raise TooMany("another check or export is under way", retry_after=10, where="audit")
