"""Signed heads stamped by a time-stamping authority (RFC 3161): proof that a head was there at a time.

What is sent is the digest of a head. The token that comes back lies beside the head in the home folder; whoever makes a
chain anew cannot have tokens of an earlier time for it.
"""

import asyncio
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from fiel.infra.ledger.heads import Head, HeadsAltered, HeadsUnwritten, append, head_of, lines
from fiel.tools.errors import SettingsError

FILE = "heads/timestamps.jsonl"


@dataclass(frozen=True, slots=True)
class TimestampPlace:
    """An authority, and the file of its tokens."""

    url: str
    file: Path
    roots: Path
    """Certificates (PEM) that tokens must lead to."""

    @classmethod
    def at(cls, url: str, home: Path, roots: str) -> "TimestampPlace":
        """Raises SettingsError where no certificate is named: a token that nobody checks proves nothing."""
        if not roots:
            raise SettingsError("whose time stamps are trusted is not said", where="FIEL_HEADS_ROOTS")
        return cls(url, home / FILE, Path(roots).expanduser().absolute())

    @property
    def name(self) -> str:
        return self.url

    async def keep(self, heads: Sequence[Head]) -> None:
        made = [orjson.loads(head.line()) | {"token": b64encode(await self._stamp(head)).decode()} for head in heads]
        await asyncio.to_thread(append, self.file, [orjson.dumps(one) + b"\n" for one in made])

    async def kept(self, tenant: str) -> Sequence[Head]:
        found = []
        for line in await asyncio.to_thread(lines, self.file):
            head = head_of(line)
            if head.tenant == tenant:
                self._check(head, self._token(head, line))
                found.append(head)
        return found

    def _token(self, head: Head, line: bytes) -> bytes:
        """Raises HeadsAltered."""
        try:
            return b64decode(orjson.loads(line)["token"], validate=True)
        except (KeyError, TypeError, ValueError) as error:
            raise HeadsAltered(f"the time stamp of head {head.number} is none", where=str(self.file)) from error

    async def _stamp(self, head: Head) -> bytes:
        import httpx
        from rfc3161_client import TimestampRequestBuilder

        request = TimestampRequestBuilder().data(head.line()).nonce(nonce=True).cert_request(cert_request=True).build()
        try:
            async with httpx.AsyncClient(timeout=10.0, trust_env=False) as web:
                headers = {"content-type": "application/timestamp-query"}
                answer = await web.post(self.url, content=request.as_bytes(), headers=headers)
        except httpx.HTTPError as error:
            raise HeadsUnwritten(f"nobody stamps the time: {type(error).__name__}", where=self.url) from error
        if answer.status_code != 200:
            raise HeadsUnwritten(f"nobody stamps the time: status {answer.status_code}", where=self.url)
        self._check(head, answer.content, request)
        return answer.content

    def _check(self, head: Head, token: bytes, request: Any = None) -> None:
        """Raises HeadsAltered for a token that is no proof of this head, or leads to nobody who is trusted; one that
        answers a `request` must have its nonce. Raises HeadsUnwritten where nobody who is trusted is named.
        """
        from cryptography.x509 import load_pem_x509_certificates
        from rfc3161_client import VerificationError, VerifierBuilder, decode_timestamp_response

        builder = VerifierBuilder() if request is None else VerifierBuilder.from_request(request)
        try:
            for root in load_pem_x509_certificates(self.roots.read_bytes()):
                builder = builder.add_root_certificate(root)
        except (ValueError, OSError) as error:
            raise HeadsUnwritten(
                "the certificates of FIEL_HEADS_ROOTS cannot be read", where=str(self.roots)
            ) from error
        try:
            builder.build().verify_message(decode_timestamp_response(token), head.line())
        except (VerificationError, ValueError) as error:
            what = f"the time stamp of head {head.number} does not hold"
            raise HeadsAltered(what, where=str(self.file), hint="See FIEL_HEADS_ROOTS") from error
