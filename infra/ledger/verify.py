"""Checks an export of the ledger: `python verify.py FILE [PUBLIC_KEY]`. Needs `cryptography` for signatures alone.
Every hash is computed anew. Exit status 0: whole, 1: broken, 2: no such export. docs/audit.md describes the records."""

import json
import sys
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any
from uuid import UUID

LEAF = 85
ORDER = ("header", "seal", "waiting", "run", "entry", "frame", "act", "head", "end")
RUN = ("tenant", "caller", "thread", "resumes", "resumes_seq", "started")
Check = Callable[[bytes, bytes], None]  # of (signature, body); raises where they do not fit


def merkle(leaves: Iterable[bytes]) -> bytes:
    """Root of RFC 6962."""
    row = [sha256(b"\0" + leaf).digest() for leaf in leaves]
    while len(row) > 1:
        row = [sha256(b"\1" + a + b).digest() for a, b in zip(row[::2], row[1::2], strict=False)] + row[len(row) & ~1 :]
    return row[0] if row else sha256(b"").digest()


def split(leaves: bytes) -> Iterator[tuple[bytes, bytes, str, int, bytes, bytes]]:
    """(leaf, kind, id, sequence, hash, digest of the frame)."""
    for leaf in (leaves[at : at + LEAF] for at in range(0, len(leaves), LEAF)):
        yield leaf, leaf[:1], str(UUID(bytes=leaf[1:17])), int.from_bytes(leaf[17:21], "big"), leaf[21:53], leaf[53:85]


class Checker:
    """Takes the records of one tenant in the order of an export; `broken` says what does not hold, and where."""

    def __init__(self, key: Check | None = None) -> None:
        self.broken: list[dict[str, Any]] = []
        self.key: Check = key or (lambda signature, body: None)
        self.tenant, self.partial, self.only, self.prev, self.rank = "", False, None, "", -1
        self.entries, self.last, self.signed, self.unsealed, self.seals = 0, 0, 0, 0, dict[int, str]()
        self.sealed, self.acts, self.frames = dict[str, Any](), dict[str, Any](), dict[str, Any]()
        self.found, self.runs, self.hashes, self.origins = set[str](), dict[str, Any](), dict[str, Any](), list[Any]()

    def fail(self, what: str, run: str | None = None, seq: int | None = None, **more: Any) -> None:
        self.broken.append({"tenant": self.tenant, "run": run, "seq": seq, "what": what, **more})

    def _once(self, known: Any, place: Any, value: Any, what: str) -> None:
        if known.setdefault(place, value) != value:
            raise ValueError(f"{what} stands there twice, and not the same")

    def take(self, one: Any) -> None:
        try:
            rank = ORDER.index(one["t"])
            if rank < self.rank or rank == self.rank in (0, 8):  # of the first and the last there is one
                raise ValueError("it stands where none of its kind may")
            self.rank, self.unsealed = rank, self.unsealed + (one["t"] == "waiting")
            getattr(self, f"_{one['t']}")(one)
        except Exception as error:
            self.fail(f"the record does not hold: {error!r}", one.get("run"), one.get("seq"), record=one.get("t"))

    def _header(self, one: Any) -> None:
        self.tenant, self.partial, self.only = one["tenant"], one["partial"], one.get("run")

    def _seal(self, one: Any) -> None:
        number, body = one["number"], one["body"]
        facts, hash = json.loads(body), sha256(body.encode()).hexdigest()
        if number != self.last + 1:
            self.fail("seals before this one are missing, or out of order", seal=number)
        if hash != one["hash"] or facts["number"] != number or facts["tenant"] != self.tenant:
            self.fail("the seal was altered", seal=number)
        elif facts["prev"] != self.prev:
            self.fail("the seal does not follow from the one before", seal=number)
        self.prev, self.last, self.seals[number] = one["hash"], number, hash
        if one["leaves"] is not None or not self.partial:
            leaves = [leaf for leaf, *_ in split(b64decode(one["leaves"]))]
            if len(leaves) != facts["count"] or merkle(leaves).hex() != facts["root"]:
                self.fail("the leaves are not those that were sealed", seal=number)
            self._waiting(one)

    def _waiting(self, one: Any) -> None:  # the leaves of a seal, too
        for _, kind, id, seq, hash, frame in split(b64decode(one["leaves"])):
            known = (self.acts if kind == b"a" else self.sealed).setdefault(id, {})
            self._once(known, seq, (hash, frame), f"the leaf of {id}, {seq}")

    def _run(self, one: Any) -> None:
        self._once(self.runs, one["run"], one, f"the run {one['run']}")

    def _entry(self, one: Any) -> None:
        run, seq, body = one["run"], one["seq"], one["body"].encode()
        facts, hash, known = json.loads(body), sha256(body).digest(), self.hashes.setdefault(one["run"], [])
        self.entries += 1
        if seq != len(known):
            self.fail("an entry before this one is missing, or the order was changed", run, seq)
        elif hash.hex() != one["hash"] or (facts["run"], facts["seq"], facts["tenant"]) != (run, seq, self.tenant):
            self.fail("the entry was altered", run, seq)
        elif known and facts["prev"] != known[-1].hex():
            self.fail("the entry does not follow from the one before", run, seq)
        if not known:
            self._begins(run, facts)
        known.append(hash)

    def _begins(self, run: str, facts: Any) -> None:
        row, begin = self.runs.get(run, {}), facts["begin"]
        resumes = begin["resumes"] or {"run": None, "seq": None}
        said = [facts["tenant"], begin["caller"]["id"], begin["thread"], resumes["run"], resumes["seq"]]
        said += [begin["started"]] if "started" in begin else []
        if said != [row.get(name) for name in RUN[: len(said)]]:
            self.fail("the run is missing, or what it is said to be is not what its first entry says", run, 0)
        if begin["resumes"]:
            self.origins.append((run, facts["prev"], resumes["run"], resumes["seq"]))
        elif facts["prev"]:
            self.fail("the first entry follows from one that it does not name", run, 0)

    def _frame(self, one: Any) -> None:
        digest = sha256(one["key"].encode() + b"\0" + b64decode(one["data"])).digest()
        known, found = self.frames.setdefault(one["run"], {}), (bytes.fromhex(one["head"]), digest)
        self._once(known, one["seq"], found, "the contents")

    def _act(self, one: Any) -> None:
        body, id, names = one["body"].encode(), one["act"], ("act", "tenant", "kind", "subject", "at")
        facts, hash = json.loads(body), sha256(body).digest()
        self.found.add(id)
        said = [*(facts[name] for name in names), facts["principal"]["id"]]
        if hash.hex() != one["hash"] or said != [*(one[name] for name in names), one["principal"]]:
            self.fail("the act was altered", act=id)
        elif self.acts.get(id) != {0: (hash, bytes(32))}:
            self.fail("the act is another than was sealed, or not in the chain", act=id)

    def _head(self, one: Any) -> None:
        facts, number = json.loads(one["body"]), one["number"]
        self.key(b64decode(one["signature"]), one["body"].encode())
        if number > self.last:
            self.fail(f"the chain was truncated: {number} seals were signed, {self.last} are left", head=number)
        elif [self.tenant, number, self.seals.get(number)] != [facts[name] for name in ("tenant", "number", "hash")]:
            self.fail("the chain was rebuilt: another seal was signed at this place", head=number)
        self.signed = max(self.signed, number)

    def _end(self, one: Any) -> None:
        for run in sorted({*self.sealed, *self.hashes, *self.frames, *self.runs, self.only or ""} - {""}):
            if run in self.runs or run == self.only or not self.partial:
                self._whole(run, self.sealed.get(run, {}), self.hashes.get(run, []), self.frames.get(run, {}))
        for run, prev, origin, seq in self.origins:
            known = self.hashes.get(origin, [])
            if (known or not self.partial) and (seq >= len(known) or known[seq].hex() != prev):
                self.fail("the run does not follow from the entry that it names", run, 0)
        for act in () if self.partial else sorted(self.acts.keys() - self.found):
            self.fail("an act that was sealed is missing", act=act)
        if "whole" in one:  # of a file; what is missing from one that nobody signed, nobody can tell
            self.key(b64decode(one["signature"]), b"export " + one["whole"].encode())

    def _whole(self, run: str, sealed: Any, hashes: Sequence[bytes], frames: Any) -> None:
        for seq, (head, frame) in sorted(sealed.items()):
            if seq >= len(hashes):
                self.fail("entries that were sealed are missing", run, len(hashes))
            elif hashes[seq] != head:
                self.fail("the entry is another than was sealed", run, seq)
            elif frames.get(seq) != (head, frame):
                self.fail("the contents are missing, or others than were sealed", run, seq)
        if len(hashes) > (last := max(sealed, default=-1)) + 1 or not hashes:
            self.fail("the entry is not in the chain" if hashes else "the run has no entries", run, last + 1)
        for seq in sorted(frames.keys() - sealed.keys()):
            self.fail("the contents are not in the chain", run, seq)


def signed_by(public: str) -> Check:
    """The check of signatures under an Ed25519 public key (32 bytes, hexadecimal)."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify


def verify(lines: Iterable[str], key: Check | None = None) -> Checker:
    """Check an export, one JSON object a line. Raises ValueError where it is none."""
    checker, one, before, whole = Checker(key), dict[str, Any](), "", sha256()
    for line in lines:
        whole.update(before.encode())
        before, first, one = str(line), not one, json.loads(line)
        if not isinstance(one, dict) or (first and (one.get("t"), one.get("v")) != ("header", 1)):
            raise ValueError("this is no export of fiel's ledger")
        checker.take(one | {"whole": whole.hexdigest()} if one.get("t") == "end" else one)
    if one.get("t") != "end" or one.get("sha256") != whole.hexdigest():
        checker.fail("the export was cut off, or is not as it was written")
    return checker


def main(arguments: Sequence[str]) -> int:
    try:
        with open(arguments[0], encoding="utf-8", newline="") as file:  # noqa: PTH123
            checked = verify(file, signed_by(arguments[1]) if len(arguments) > 1 else None)
    except (IndexError, OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n{__doc__}")
        return 2
    names = ("entries", "broken", "partial", "last", "unsealed", "signed")[: 5 + (len(arguments) > 1)]
    sys.stdout.write(json.dumps({name: vars(checked)[name] for name in names}) + "\n")
    return 1 if checked.broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
