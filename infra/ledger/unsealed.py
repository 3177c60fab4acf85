"""What a flush keeps beside its entries, until it is written: plain, and encrypted only where the writing is done.

The event loop hands it over as it is. Serialising spans, their receipts, compression and encryption are then paid in
the thread that writes to the database (`fiel.infra.database.aside`), for many hops at once.
"""

from collections.abc import Sequence

from fiel.infra.ledger.frames import pack
from fiel.infra.ledger.keys import Cipher
from fiel.infra.ledger.receipts import packed, receipt
from fiel.infra.ledger.store import Kept
from fiel.infra.telemetry import otlp
from fiel.infra.telemetry.span import HopSpan


class Unsealed:
    """Contents, spans and drafts of one flush. Nothing that it is given may change afterwards."""

    __slots__ = ("_cipher", "_contents", "_drafts", "_kept", "_mac", "_owed", "_resource", "_run", "_spans")

    def __init__(
        self,
        run: str,
        cipher: Cipher,
        mac: bytes,
        contents: Sequence[bytes],
        owed: Sequence[HopSpan],
        spans: Sequence[HopSpan],
        drafts: Sequence[tuple[str, bytes]],
        resource: tuple[tuple[str, str], ...],
    ) -> None:
        """`owed` are the spans whose receipts go with the contents; `mac` the key of digests, as in `DataKey`."""
        self._run = run
        self._cipher = cipher
        self._mac = mac
        self._contents = contents
        self._owed = owed
        self._spans = spans
        self._drafts = drafts
        self._resource = resource
        self._kept: Kept | None = None

    @property
    def size(self) -> int:
        """About how many bytes it holds. What spans show is, for the most part, what the contents are."""
        parts = 2 * sum(map(len, self._contents)) + sum([len(content) for _, content in self._drafts])
        return parts + 500 * len(self._spans)

    def kept(self) -> Kept:
        """Everything encrypted: the first time it is made, then the same again. Not for two threads at once."""
        if self._kept is None:
            self._kept = self._sealed()
            self._contents, self._owed, self._spans, self._drafts = (), (), (), ()
        return self._kept

    def _sealed(self) -> Kept:
        seal, run = self._cipher.seal, self._run
        written = {id(span): span.written() for span in (*self._owed, *self._spans)}
        contents = list(self._contents)
        if self._owed:
            contents.append(packed([receipt(written[id(span)], self._mac) for span in self._owed]))
        spans = [written[id(span)] for span in self._spans]
        return Kept(
            frame=seal("frame", run, pack(contents)) if contents else b"",
            spans=seal("spans", run, otlp.traces(spans, resource=self._resource)) if spans else b"",
            drafts=tuple((key, seal("draft", run, content)) for key, content in self._drafts),
        )
