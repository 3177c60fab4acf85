"""From a document to the answers that used it: in which versions, in which sentences."""

import uuid
from typing import Any, Literal

from fiel.infra.database.connect import Database
from fiel.infra.desk.operations import SEES_RUNS
from fiel.infra.ledger.acts import Act, record
from fiel.infra.runs.pages import Page, Window, cut, parameters
from fiel.tools.errors import UsageError
from fiel.tools.principal import Principal
from fiel.tools.sql import load

Json = dict[str, Any]
Used = Literal["cited", "read", "any"]
"""Answers that cite it; those, and answers for which the model read it; whatever came of the run."""


class DocumentNotFound(UsageError):
    """There is no such document that the caller may read, and no run that they may see has used it."""

    code = "document_not_found"


async def answers(
    database: Database, by: Principal, target: str, window: Window, used: Used = "read", version: str | None = None
) -> tuple[Json, Page[Json]]:
    """What is known of the document (by id, or by address: then it may be several), and the runs that used it.

    A caller sees their own runs; administrators, auditors and developers those of the tenant. By the id of a document
    that they may not read these see that it was used, and neither address nor title.

    Raises DocumentNotFound, UsageError.
    """
    sql, everybody = load(__package__, "ask.sql"), by.may(*SEES_RUNS)
    async with database.acting(by) as connection:
        name = _id(target)
        query, values = ("by_id", {"document": name}) if name else ("by_uri", {"uri": target})
        readable = await (await connection.execute(sql[query], values)).fetchall()
        documents = [row[0] for row in readable] or ([name] if name and everybody else [])
        if not readable and not (documents and await _known(connection, documents[0])):
            raise DocumentNotFound("there is no such document that you may read", where=target[:200])
        wanted = {"documents": documents, "version": _version(version), "everybody": everybody, "used": used}
        rows = await (await connection.execute(sql["answers"], {**wanted, **parameters(window)})).fetchall()
        versions = await (await connection.execute(sql["versions"], {"documents": documents})).fetchall()
        if everybody:
            await record(connection, Act(by, "audit_read", ",".join(documents), {"what": "lineage"}))
    numbers = {row[0]: row[2] for row in versions}
    shown = [_document(row, [one for one in versions if one[1] == row[0]]) for row in readable]
    hidden = [{"document": one, "readable": False} for one in documents if not readable]
    return {"documents": shown or hidden}, cut([_answer(row, numbers) for row in rows], window)


async def _known(connection: Any, document: str) -> bool:
    found = await connection.execute(load(__package__, "ask.sql")["known"], {"document": document})
    return bool((await found.fetchone())[0])


def _document(row: Any, versions: Any) -> Json:
    id, uri, title, collection, deleted, current = row
    facts = {"document": id, "readable": True, "uri": uri, "title": title, "collection": collection, "deleted": deleted}
    return facts | {
        "versions": [
            {
                "version": version,
                "number": number,
                "sha256": sha256,
                "created_at": created.isoformat(),
                "current": version == current and not deleted,
            }
            for version, _, number, sha256, created in versions
        ]
    }


def _answer(row: Any, numbers: dict[str, int]) -> Json:
    run, document, version, caller, started, outcome, chunks, sentences = row
    return {
        "run": run,
        "caller": caller,
        "started": started,
        "outcome": outcome,
        "document": document,
        "version": version,
        "number": numbers.get(version),
        "used": "cited" if sentences else "read",
        "sentences": sentences,
        "chunks": chunks,
    }


def _id(text: str) -> str | None:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None


def _version(text: str | None) -> str | None:
    if text is not None and _id(text) is None:
        raise UsageError(f"{text[:80]!r} is no id of a version", where="version")
    return text and _id(text)
