"""Leaves: what the chain of a tenant says of one act, or of one committed part of a run. 85 bytes each."""

import struct
import uuid
from hashlib import sha256

_FORM = struct.Struct(">c16sI32s32s")
NO_FRAME = bytes(32)


def of_act(act: str, hash: bytes) -> bytes:
    """The leaf of an act: its id and its hash."""
    return _FORM.pack(b"a", uuid.UUID(act).bytes, 0, hash, NO_FRAME)


def of_frame(run: str, seq: int, head: bytes, key: str, data: bytes) -> bytes:
    """The leaf of a part of a run: its last entry's sequence and hash, and the digest of the contents as they lie."""
    return _FORM.pack(b"r", uuid.UUID(run).bytes, seq, head, sha256(key.encode() + b"\0" + data).digest())
