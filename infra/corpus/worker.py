"""The process that parses: a hostile or broken file can hang or crash it, and nothing else.

Started as `python -m fiel.infra.corpus.worker`. It gets no secrets (an empty environment), takes one file after
another on standard input and answers on standard output:

    request   4 bytes length of the name, 8 bytes length of the data (big-endian), name (UTF-8), data
    answer    8 bytes length, JSON: {"ok": {...}} or {"error": {"code", "what", "hint"}}
"""

import contextlib
import ctypes
import os
import resource
import signal
import struct
import sys
from typing import Any, BinaryIO

import orjson

from fiel.infra.corpus.prepare import Limits, Prepared, Preparer
from fiel.tools.errors import DocumentBroken, DocumentTooLarge, InvalidDocument

HEAD = struct.Struct(">IQ")
SIZE = struct.Struct(">Q")
MEMORY = 4 * 1024**3
"""Most address space of a parser, in bytes."""
_PR_SET_PDEATHSIG = 1


def main(max_file: int, max_text: int) -> None:
    """Serve until standard input ends."""
    _confine()
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the answers
    preparer = Preparer(Limits(max_file=max_file, max_text=max_text))
    while True:
        head = source.read(HEAD.size)
        if len(head) < HEAD.size:
            return
        name_size, data_size = HEAD.unpack(head)
        name = source.read(name_size).decode()
        _answer(sink, _answered(preparer, name, source.read(data_size)))


def _answer(sink: BinaryIO, value: dict[str, Any]) -> None:
    body = orjson.dumps(value)
    sink.write(SIZE.pack(len(body)))
    sink.write(body)
    sink.flush()


def _confine() -> None:
    """Die with the parent, dump no core, use no more than `MEMORY`."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(ValueError, OSError):  # a lower limit of the system's own stays
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def _answered(preparer: Preparer, name: str, data: bytes) -> dict[str, Any]:
    failure: InvalidDocument
    try:
        return {"ok": _plain(preparer.prepare(data, name))}
    except InvalidDocument as error:
        failure = error
    except MemoryError:
        failure = DocumentTooLarge("reading it takes too much memory", hint="Split it")
    except Exception as error:  # whatever a library makes of a broken file: the file is refused
        failure = DocumentBroken(f"its parser failed ({type(error).__name__})")
    return {"error": {"code": failure.code, "what": failure.what, "hint": failure.hint}}


def _plain(document: Prepared) -> dict[str, Any]:
    return {
        "text": document.text,
        "title": document.title,
        "media_type": document.media_type,
        "language": document.language,
        "pages": list(document.pages),
        "chunks": [[chunk.start, chunk.end, chunk.context] for chunk in document.chunks],
    }


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
