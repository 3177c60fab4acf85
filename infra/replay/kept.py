"""Bundles and prompts of then: kept by version when they come into use, found again by the runs that they decided.

What is kept is the text. A bundle's version covers the code of its checks and their models too, so that a bundle made
again from its text under other code has another version, which is said and not replayed with.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import orjson

from fiel.infra.database.connect import Database
from fiel.infra.replay.record import NotReplayable, Record
from fiel.nodes.prompts import Prompts
from fiel.policies.bundle import parse_bundle
from fiel.policies.bundled import PolicyBundle
from fiel.policies.overrides import MARK
from fiel.tools.canonical import canonical
from fiel.tools.errors import PolicyError
from fiel.tools.sql import load


class Text(NamedTuple):
    """Something to keep."""

    kind: Literal["bundle", "prompt"]
    name: str
    version: str
    body: bytes


def bundle_texts(bundles: Mapping[str, PolicyBundle]) -> list[Text]:
    """The files of `bundles`, each with those that it extends. Raises OSError for one that cannot be read."""
    files = {name: Path(bundle.file).read_text(encoding="utf-8") for name, bundle in bundles.items()}
    return [
        Text("bundle", name, bundle.version, canonical([files[one] for one in reversed(bundle.lineage)]))
        for name, bundle in bundles.items()
    ]


def prompt_texts(prompts: Iterable[Prompts]) -> list[Text]:
    """The templates of `prompts`."""
    return [
        Text(
            "prompt", one.name, one.version, canonical({"answer": one.answer_template, "rewrite": one.rewrite_template})
        )
        for one in prompts
    ]


async def keep(connection: Any, texts: Iterable[Text]) -> None:
    """Keep what is not kept yet, in the caller's transaction."""
    columns = [list(column) for column in zip(*texts, strict=True)]
    if columns:
        await connection.execute(load(__package__, "kept.sql")["keep"], columns)


Changes = dict[str, dict[str, dict[str, str | None]]]
"""By kind and name, version before and after; None where something came or went."""


async def use(connection: Any, texts: Iterable[Text]) -> Changes:
    """Keep what comes into use, in the caller's transaction; what is another now than what was in use before."""
    texts = list(texts)
    await keep(connection, texts)
    values = {
        "kinds": [one.kind for one in texts],
        "names": [one.name for one in texts],
        "versions": [one.version for one in texts],
    }
    found: Changes = {}
    for kind, name, before, after in await (
        await connection.execute(load(__package__, "kept.sql")["use"], values)
    ).fetchall():
        found.setdefault(kind, {})[name] = {"before": before, "after": after}
    return found


@dataclass(frozen=True, slots=True)
class Kept:
    """What a database has kept. Methods raise NotReplayable, DatabaseUnavailable."""

    database: Database

    async def bundles(self, record: Record) -> Mapping[str, PolicyBundle]:
        """By the name under which hops ask for it: the bundle that decided about a run; none where none did."""
        version, name = record.versions.get("policy", ""), _policy(record)
        if not version or not name:
            return {}
        plain, mark, ids = name.partition(MARK)
        found = await self._rows("bundle", plain)
        for body in found.values():
            base = _made(orjson.loads(body))
            bundle = base.variant(ids.split("+")) if base and mark else base
            if base and bundle and bundle.version == version:
                return {plain: base, name: bundle}
        why = "its checks or their models have changed since" if found else "it is not kept"
        raise NotReplayable(f"the bundle {name!r} of then cannot be used: {why}", where=f"version {version[:16]}")

    async def prompts(self, record: Record) -> Prompts | None:
        """The prompts of a run; None where it has named none."""
        version = record.versions.get("prompt", "")
        if not version:
            return None
        name = version.partition(":")[0]
        body = (await self._rows("prompt", name)).get(version)
        if body is None:
            raise NotReplayable(f"the prompts {version!r} of then are not kept", where=f"run {record.row.run}")
        texts = orjson.loads(body)
        return Prompts(name=name, answer_template=texts["answer"], rewrite_template=texts["rewrite"])

    async def _rows(self, kind: str, name: str) -> dict[str, bytes]:
        async with self.database.system() as connection:
            cursor = await connection.execute(load(__package__, "kept.sql")["of_name"], (kind, name))
            return {version: bytes(body) for version, body in await cursor.fetchall()}


def _policy(record: Record) -> str:
    """Name of the bundle that decided, variant and all."""
    for one in record.entries:
        if name := one.entry.decision.get("policy"):
            return str(name)
    read = record.entries[0].entry.reads.get("policy")
    return str(record.value(read) or "") if read else ""


def _made(texts: list[str]) -> PolicyBundle | None:
    """A bundle from its texts; None where the code of now cannot read them."""
    base: PolicyBundle | None = None
    try:
        for text in texts:
            base = parse_bundle(text, base=base)
    except PolicyError:
        return None
    return base
