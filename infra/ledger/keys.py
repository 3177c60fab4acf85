"""The key under which the ledger's contents, drafts and spans lie at rest: AES-256-GCM, compressed before.

The key file lies under the home folder, mode 0600. Whoever loses it keeps a chain that verifies and contents that
nobody can read; the error says so. Blobs name their key, so that keys can rotate and a key-management service can
stand in for the file.
"""

import base64
import binascii
import contextlib
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fiel.infra.ledger.zstd import PerThread
from fiel.tools.errors import FielError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_FILE = "keys/ledger.key"
"""The key of the ledger, in the home folder."""


class KeyUnavailable(FielError):
    """A key of the ledger is missing, unreadable or another than the one that the data was encrypted with."""

    code = "key_unavailable"
    exit_status = 3


class ContentAltered(KeyUnavailable):
    """The key is there and what it opens is not what it sealed."""

    code = "content_altered"


@dataclass(frozen=True, slots=True)
class Key:
    """An AES-256 key and its public name."""

    id: str
    """16 hexadecimal digits, derived from the secret."""
    secret: bytes

    def __repr__(self) -> str:
        return f"Key({self.id})"


def key_of(secret: bytes) -> Key:
    """The key with this secret (32 bytes)."""
    if len(secret) != 32:
        raise KeyUnavailable(f"a ledger key has 32 bytes, this one {len(secret)}")
    return Key(sha256(b"fiel ledger key\0" + secret).hexdigest()[:16], secret)


def load(path: Path) -> Key:
    """The key of a key file that is used now. Raises KeyUnavailable where it is missing or unreadable."""
    return load_all(path)[0]


def load_all(path: Path) -> tuple[Key, ...]:
    """The keys of a key file, one a line: the one that is used now, then those before it. Raises KeyUnavailable."""
    try:
        lines = path.read_text(encoding="ascii").split() or [""]
        return tuple(key_of(base64.b64decode(line, validate=True)) for line in lines)
    except (OSError, UnicodeDecodeError, binascii.Error) as error:
        raise KeyUnavailable(
            "the ledger's key cannot be read", where=str(path), hint="Restore the file from a backup of the home folder"
        ) from error


def load_or_create(path: Path) -> Key:
    """Read the key file; create it where there is none. Two processes that create it at once get the same key."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = _draft(path, [key_of(secrets.token_bytes(32))])
        try:
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
        finally:
            draft.unlink()
    return load(path)


def renew(path: Path) -> Key:
    """Put a new key before those of the file, at once and for good; returns it. Raises KeyUnavailable."""
    fresh = key_of(secrets.token_bytes(32))
    _draft(path, [fresh, *load_all(path)]).replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return fresh


def _draft(path: Path, keys: Sequence[Key]) -> Path:
    """A file beside `path` with these keys, on the disk."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.writelines(base64.b64encode(key.secret) + b"\n" for key in keys)
        file.flush()
        os.fsync(file.fileno())
    return draft


def file_cipher(path: Path) -> "Cipher":
    """The cipher of a key file, made where there is none; it finds keys that are put into the file later."""
    load_or_create(path)
    key, *older = load_all(path)
    return Cipher(key, older, lambda: load_all(path))


def key_names(path: Path) -> frozenset[str]:
    """Names of the keys that a key file holds; none where it is missing. Raises KeyUnavailable for what is no key."""
    return frozenset(key.id for key in load_all(path)) if path.exists() else frozenset()


class KeyService(Protocol):
    """A service that has a master key and never gives it away. Raises KeyUnavailable."""

    @property
    def name(self) -> str:
        """Of its key."""
        ...

    async def wrap(self, id: str, secret: bytes) -> bytes:
        """`secret` under the key, bound to the name `id`."""
        ...

    async def unwrap(self, id: str, wrapped: bytes) -> bytes:
        """What `wrap` was given, under this key or one before it."""
        ...


class Cipher:
    """Compresses and encrypts blobs, each bound to the purpose and the run that it belongs to."""

    def __init__(self, key: Key, older: Sequence[Key] = (), again: Callable[[], Sequence[Key]] = tuple) -> None:
        """`again` gives the keys anew where a blob names one that is not known: another process may have rotated."""
        self.key = key
        self.older = tuple(older)
        self.service: KeyService | None = None
        """What wraps data keys in place of this key."""
        self._again = again
        self._ciphers: dict[str, AESGCM] = {}
        self._learn((*older, key))
        self._zstd = PerThread((1,))

    def _learn(self, keys: Sequence[Key]) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._ciphers |= {one.id: AESGCM(one.secret) for one in keys if one.id not in self._ciphers}

    def has(self, key: str) -> bool:
        """Whether the key of this name is here. Raises KeyUnavailable for a key file that has become unreadable."""
        if key not in self._ciphers:
            self._learn(self._again())
        return key in self._ciphers

    def seal(self, purpose: str, run: str, data: bytes) -> bytes:
        """12 bytes of nonce and the ciphertext of the compressed data."""
        nonce, bound = os.urandom(12), f"{purpose}:{run}".encode()
        return nonce + self._ciphers[self.key.id].encrypt(nonce, self._zstd.compress[0](data), bound)

    def open(self, purpose: str, run: str, blob: bytes, key: str) -> bytes:
        """What `seal` was given. Raises KeyUnavailable."""
        from cryptography.exceptions import InvalidTag

        if not self.has(key):
            raise KeyUnavailable(
                f"this was encrypted with key {key}, which is not here",
                where=f"run {run}",
                hint="Put back the key file that belongs to this database; the chain verifies without it",
            )
        try:
            return self._zstd.expand(self._ciphers[key].decrypt(blob[:12], blob[12:], f"{purpose}:{run}".encode()))
        except InvalidTag as error:
            raise ContentAltered("the contents were altered, or belong to another run", where=f"run {run}") from error
