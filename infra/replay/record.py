"""A run's record: its entries in full, and every content that they name."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import orjson

from fiel.graphs.answer.graph import NAME
from fiel.graphs.answer.options import Options, digest
from fiel.infra.ledger.chain import FORMAT, START, Point, Sealed, Unfolded, broken, unfold
from fiel.infra.ledger.frames import unpack
from fiel.infra.ledger.past import MAX_LINKS
from fiel.infra.ledger.store import RunRow, Store
from fiel.infra.ledger.subjects import DataKey, Keys
from fiel.infra.telemetry.trace import RunNotFound
from fiel.tools.errors import FielError, UsageError
from fiel.tools.principal import Principal


class NotReplayable(FielError):
    """The record of a run cannot be replayed: broken, of another form, or without something that a replay needs."""

    code = "not_replayable"


@dataclass(frozen=True, slots=True)
class Origin:
    """What a run goes on from; nothing where it resumes none."""

    entries: Sequence[Unfolded] = ()
    """Of the runs that it resumes, as far as they are its past, oldest first."""
    point: Point = START
    hash: bytes = b""
    """Of the entry that its first one follows."""
    lineage: Sequence[str] = ()
    """Ids of these runs, nearest first."""


@dataclass(frozen=True, slots=True)
class Record:
    """Everything that a replay needs of one run."""

    row: RunRow
    entries: Sequence[Unfolded]
    contents: Mapping[str, bytes]
    """By digest: what the run and those that it resumes have kept."""
    origin: Origin
    key: DataKey
    """Key of its contents and digests."""

    def value(self, digest: str) -> Any:
        """The content with this digest, decoded. Raises NotReplayable."""
        if digest not in self.contents:
            raise NotReplayable(f"the content {digest[:12]} is not in the record", where=f"run {self.row.run}")
        return orjson.loads(self.contents[digest])

    def held(self, digest: str) -> Any:
        """The same; None for one that the record does not hold."""
        return self.value(digest) if digest in self.contents else None

    @property
    def principal(self) -> Principal:
        """Who asked, as the first entry says."""
        who = self.entries[0].body["begin"]["caller"]
        return Principal(self.row.tenant, who["id"], frozenset(who["groups"]), frozenset(who["roles"]))

    @property
    def versions(self) -> Mapping[str, str]:
        """Versions of what decided: those that `guard_input` wrote, or that the state held; empty where none did."""
        for one in self.entries:
            if found := one.entry.decision.get("versions"):
                return dict(found)
        read = self.entries[0].entry.reads.get("versions")
        return dict(self.value(read) or {}) if read else {}

    @property
    def graph(self) -> str:
        """The graph of the run: its name, and after a colon its version; fiel's own where no entry names one."""
        said = (one.body["versions"]["graph"] for one in self.entries if "graph" in one.body.get("versions", ()))
        return str(next(said, NAME))

    @property
    def kept_options(self) -> Mapping[str, Any]:
        """What the caller of any graph had set, as it was recorded."""
        kept = self.entries[0].body["begin"].get("options")
        return dict(self.value(kept)) if kept is not None else {}

    @property
    def options(self) -> Options:
        """What the caller had set. Raises NotReplayable where the record does not say."""
        kept = self.entries[0].body["begin"].get("options")
        if kept is not None:
            known = {spec.name for spec in fields(Options)}
            return Options(**{name: value for name, value in self.value(kept).items() if name in known})
        default = Options()
        if self.versions.get("options", digest(default)) == digest(default):
            return default
        raise NotReplayable("the record does not hold the options of this run", where=f"run {self.row.run}")


async def load(store: Store, keys: Keys, run: str, tenant: str) -> Record:
    """The record of a run of `tenant`; one of another is none. Raises UsageError, RunNotFound, NotReplayable,
    KeyUnavailable.
    """
    try:
        name = str(uuid.UUID(run.removeprefix("tr-")))
    except ValueError:
        raise UsageError(f"{run!r} is no id of a run", where="RUN", hint="`fiel ask` prints it") from None
    row = await store.run(name)
    if row is None or row.tenant != tenant:  # before anything else can go wrong, which would say that it is there
        raise RunNotFound("no such run", where=name)
    origin = await _origin(store, row)
    sealed = await _whole(store, name, origin.hash)
    contents: dict[str, bytes] = {}
    key: DataKey | None = None
    for owner in (row.run, *origin.lineage):
        for blob in await store.frames(owner):
            held = await keys.named(blob.key)
            contents |= dict(unpack(held.cipher.open("frame", owner, blob.data, blob.key), held.mac))
            key = key or held
    if key is None:
        raise NotReplayable("the record holds no contents", where=f"run {name}")
    return Record(row, unfold(name, sealed, origin.point), contents, origin, key)


async def _whole(store: Store, run: str, after: bytes) -> list[Sealed]:
    """The entries of a run that goes on from the entry of that hash. Raises NotReplayable."""
    sealed = list(await store.entries(run))
    if not sealed or broken(sealed, after.hex()) is not None:
        raise NotReplayable("the chain of this run's entries is broken or empty", where=f"run {run}")
    other = next((v for one in sealed if (v := orjson.loads(one.body)["v"]) != FORMAT), None)
    if other is not None:
        hint = "Replay it with the version of fiel that recorded it"
        raise NotReplayable(f"the entries have form {other}, and this code reads form {FORMAT}", where=run, hint=hint)
    return sealed


async def _origin(store: Store, row: RunRow) -> Origin:
    """Walk back to the first run of the line, and forward again, entry by entry. Raises NotReplayable."""
    line = [row]
    while line[-1].resumes and len(line) <= MAX_LINKS:
        before = await store.run(line[-1].resumes)
        if before is None:
            break
        line.append(before)
    origin = Origin()
    for next_row, one in reversed(list(pairwise(line))):
        unfolded = unfold(one.run, await _whole(store, one.run, origin.hash), origin.point)
        kept = unfolded[: (next_row.resumes_seq or 0) + 1]
        if kept:
            entries = (*origin.entries, *kept)
            origin = Origin(entries, kept[-1].point, kept[-1].hash, (one.run, *origin.lineage))
    return origin
