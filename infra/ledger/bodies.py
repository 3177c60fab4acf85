"""How the database keeps the bodies of entries: compressed, since what hops say resembles what other hops have said.

A stored body is the byte 1, the CRC-32 of what follows, and the body as a Zstandard frame. One that begins with a brace
is plain JSON, as versions before this one kept them. Hashes are over the body itself. The CRC is there so that no
change of what is stored goes unseen, also one that would decompress to the same.
"""

import zlib

from fiel.infra.ledger.zstd import PerThread

FORM = b"\1"
LEVELS = (-1, 3)
"""Of compression, for short bodies and for long ones: a hop waits for it, and of a short one little more can be won."""
LONG = 600
"""Bytes from which a body is long. `python -m fiel.infra.bench.size` says what a run then leaves behind."""
MOST = 2**27
"""Bytes of the longest body that is read back."""
WORDS = "".join(
    (
        '{"at":17,"attempt":1,"begin":{"caller":{"groups":[],"id":"","roles":["reader"]},"options":"","resumes":null,',
        '"started":17,"thread":""},"decision":{"failure":"","language":"en","policy":"default","reason":"","review":{},',
        '"versions":{"chat":"","embed":"","graph":"answer:","guard":"","index":"postgres:","judge":"","options":"",',
        '"policy":"","prompt":"default:","rerank":""}},"left":{"messages":""},"writes":{"answer":"","attempt":"",',
        '"checked":"","citations":"","details":"","draft":"","failure":"","history":"","judgement":"","language":"",',
        '"messages":"","outcome":"","passages":"","policy":"","queries":"","question":"","reason":"","relevance":"",',
        '"relevant":"","review":"","standalone":"","turns":"","usage":"","verdicts":"","versions":"","window":""}}',
        '"judgement":{"answered":"1.000000","draft":"","labels":["supported"],"satisfied":true,"scores":["1.000000"],',
        '"sentences":[]},"outcome":"answered","usage":{"cost":"0.000000","input_tokens":0,"output_tokens":0},',
        '"checked":{"action":"allow","draft":"","policy":"","released":""}"effects":[{"kind":"collection","n":0,',
        '"request":"","response":""},{"kind":"embed","n":0,"request":"","response":""},{"kind":"search","n":0,',
        '"request":"","response":""},{"kind":"rerank","n":0,"request":"","response":""},{"kind":"chat","model":"","n":0,',
        '"request":"","response":"","usage":{"cost":"0.000000","input_tokens":0,"output_tokens":0}},{"kind":"judge",',
        '"n":0,"request":"","response":""},{"kind":"guard","n":0,"request":"","response":""},{"kind":"check","n":0,',
        '"request":"","response":""}]"edited":false,"effects":[],"hop":"retrieve","prev":"","reads":{},"run":"",',
        '"seq":1,"status":"ok","step":2,"tenant":"default","us":1,"v":1,"writes":{"failure":"',
        '"verdicts":[{"action":"allow","check":"length","reason":"ok","score":"0.000000","spans":[],"stage":"input",',
        '"threshold":"0.500000","version":"',
        *(f'"check":"{name}"' for name in ("control", "injection", "injection_head", "moderation", "secrets", "pii")),
        *(f'"check":"{name}"' for name in ("links", "topics", "leakage", "banned", "source", "placeholders")),
        '"},{"action":"allow","check":"pii","reason":"ok","score":"0.000000","spans":[],"stage":"context",',
        '"threshold":"0.500000","version":"',
        '"},{"action":"allow","check":"pii","reason":"ok","score":"0.000000","spans":[],"stage":"output",',
        '"threshold":"0.500000","version":"',
        '{"at":17,"attempt":1,"decision":{"failure":""},"edited":false,"effects":[],"hop":"',
    )
).encode()
"""What bodies are compressed against. It never changes: without it no stored body can be read."""


_ZSTD: list[PerThread] = []


def _zstd() -> PerThread:
    if not _ZSTD:
        _ZSTD.append(PerThread(LEVELS, WORDS))
    return _ZSTD[0]


def stored(body: bytes) -> bytes:
    """A body as the database keeps it."""
    zstd = _zstd()
    short, long = zstd.compress
    data = short(body) if len(body) < LONG else long(body)
    return FORM + zlib.crc32(data).to_bytes(4, "big") + data


def body_of(kept: bytes) -> bytes:
    """The body that the database keeps so. What was altered is given back as it lies: no hash is that of it."""
    data = kept[5:]
    if not kept.startswith(FORM) or zlib.crc32(data).to_bytes(4, "big") != kept[1:5]:
        return kept
    zstd = _zstd()
    try:
        return zstd.expand(data) if zstd.size(data) <= MOST else kept
    except zstd.error:
        return kept
