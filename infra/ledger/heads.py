"""Signed heads: Ed25519 signatures over the last seal of a tenant's chain, and the file that keeps a second copy."""

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson

from fiel.infra.ledger.keys import load_or_create
from fiel.tools.canonical import canonical
from fiel.tools.errors import FielError

KEY_FILE = "keys/signing.key"
HEADS_FILE = "heads/heads.jsonl"
LONGEST = 2**16
"""Bytes of the longest line of a file of heads."""


class HeadsUnwritten(FielError):
    """The second place of signed heads cannot be written or read."""

    code = "heads_unwritten"
    exit_status = 3


class HeadsAltered(HeadsUnwritten):
    """A place of signed heads holds what nobody has kept there."""

    code = "heads_altered"


@dataclass(frozen=True, slots=True)
class Head:
    """A signed head."""

    tenant: str
    number: int
    body: bytes
    """Canonical JSON: tenant, number and hash of the seal, time (microseconds), public key (hexadecimal)."""
    signature: bytes

    def line(self) -> bytes:
        """As it stands in the file: one line of JSON."""
        return orjson.dumps({"body": self.body.decode(), "signature": self.signature.hex()}) + b"\n"


def head_of(line: bytes) -> Head:
    """A line of the file. Raises ValueError, KeyError."""
    plain = orjson.loads(line)
    facts = orjson.loads(plain["body"])
    return Head(facts["tenant"], facts["number"], plain["body"].encode(), bytes.fromhex(plain["signature"]))


class Signer:
    """Signs heads with the key file of a home folder, and keeps them in a file. Raises KeyUnavailable."""

    def __init__(self, key: Path, file: Path) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self._key = Ed25519PrivateKey.from_private_bytes(load_or_create(key).secret)
        self._file = file
        self.public = self._key.public_key().public_bytes_raw().hex()
        """Public key, 64 hexadecimal digits."""

    def sign(self, tenant: str, number: int, hash: bytes) -> Head:
        """The head of a chain, signed."""
        facts: dict[str, Any] = {"v": 1, "tenant": tenant, "number": number, "hash": hash.hex()}
        body = canonical(facts | {"at": time.time_ns() // 1000, "key": self.public})
        return Head(tenant, number, body, self._key.sign(body))

    def vouch(self, message: bytes) -> bytes:
        """A signature, 64 bytes, over a message that cannot be taken for a head: those are JSON."""
        return self._key.sign(message)

    def keep(self, head: Head) -> None:
        """Append to the file, and wait for the disk. Raises HeadsUnwritten."""
        append(self._file, [head.line()])

    def kept(self, tenant: str) -> Iterator[Head]:
        """Heads of a tenant in the file. A last line that a crash has cut is left out. Raises HeadsUnwritten."""
        return (head for head in read(self._file) if head.tenant == tenant)


def append(path: Path, made: Sequence[bytes]) -> None:
    """Append lines to a file of heads, where its last whole line ends, and wait for the disk. Raises HeadsUnwritten."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.truncate(_whole(file))
            file.writelines(made)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise HeadsUnwritten(f"a signed head cannot be written: {error}", where=str(path)) from error


def _whole(file: IO[bytes]) -> int:
    """Bytes of a file up to the end of its last line."""
    start = max(0, file.seek(0, os.SEEK_END) - LONGEST)
    file.seek(start)
    return start + file.read().rfind(b"\n") + 1


def lines(path: Path) -> list[bytes]:
    """Lines of a file of heads, each of them a head; a last one that a crash has cut is left out.

    Raises HeadsAltered where there is another that is none, HeadsUnwritten for a file that cannot be read.
    """
    try:
        found = path.read_bytes().splitlines() if path.exists() else []
    except OSError as error:
        raise HeadsUnwritten(f"signed heads cannot be read: {error}", where=str(path)) from error
    for place, line in enumerate(found):
        try:
            head_of(line)
        except (ValueError, KeyError, AttributeError) as error:
            if place == len(found) - 1:
                return found[:-1]
            raise HeadsAltered(f"line {place + 1} is no signed head", where=str(path)) from error
    return found


def read(path: Path) -> list[Head]:
    """Heads of a file. Raises as `lines` does."""
    return [head_of(line) for line in lines(path)]


def signer_of(home: Path) -> Signer:
    """The signer of a home folder; its key is made at the first use."""
    return Signer(home / KEY_FILE, home / HEADS_FILE)
