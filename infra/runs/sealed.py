"""Sealed columns: JSON, compressed and encrypted, with the name of its key in front."""

from typing import Any

import orjson

from fiel.infra.ledger.keys import Cipher

_KEY = 8
"""Bytes of a key's id (16 hexadecimal digits)."""


class Sealer:
    """Seals what stands in a column of type bytea. `place` binds it to its row (`names.place`)."""

    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher
        self._name = bytes.fromhex(cipher.key.id)

    def seal(self, kind: str, place: str, data: bytes) -> bytes:
        """`data` as it is stored."""
        return self._name + self._cipher.seal(kind, place, data)

    def open(self, kind: str, place: str, blob: bytes) -> bytes:
        """What `seal` was given. Raises KeyUnavailable."""
        return self._cipher.open(kind, place, bytes(blob[_KEY:]), bytes(blob[:_KEY]).hex())

    def seal_json(self, kind: str, place: str, value: Any) -> bytes:
        """`value` as JSON as it is stored."""
        return self.seal(kind, place, orjson.dumps(value))

    def open_json(self, kind: str, place: str, blob: bytes) -> Any:
        """What `seal_json` was given. Raises KeyUnavailable."""
        return orjson.loads(self.open(kind, place, blob))
