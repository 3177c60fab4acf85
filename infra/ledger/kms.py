"""A key-management service as AWS has it: the master key never leaves it, it wraps and unwraps data keys.

Needs boto3 (`pip install "fiel[aws]"`), which finds its credentials as it always does. A data key is bound to its name
by the encryption context, so that none can stand in for another.
"""

import asyncio
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from fiel.infra.ledger.keys import KeyUnavailable
from fiel.tools.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Kms:
    """One key of the service: `fiel.infra.ledger.keys.KeyService`."""

    name: str
    """Id or ARN of the key."""
    endpoint: str | None = None

    @classmethod
    def at(cls, text: str) -> "Kms":
        """`aws:<key>`, with `?endpoint=URL` for a service that is not Amazon's. Raises SettingsError."""
        kind, _, rest = text.partition(":")
        key, _, query = rest.partition("?")
        if kind != "aws" or not key:
            raise SettingsError(f"{text!r} is no key of a service", where="FIEL_KMS", hint="Write aws:<key id or ARN>")
        return cls(key, parse_qs(query).get("endpoint", [None])[0])

    async def wrap(self, id: str, secret: bytes) -> bytes:
        answer = await self._ask("encrypt", KeyId=self.name, Plaintext=secret, EncryptionContext={"fiel": id})
        return bytes(answer["CiphertextBlob"])

    async def unwrap(self, id: str, wrapped: bytes) -> bytes:
        answer = await self._ask("decrypt", CiphertextBlob=wrapped, EncryptionContext={"fiel": id})
        return bytes(answer["Plaintext"])

    async def _ask(self, call: str, **values: Any) -> Any:
        try:
            from boto3.session import Session
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError, ClientError
        except ImportError as error:
            raise SettingsError("this needs boto3", where="FIEL_KMS", hint='pip install "fiel[aws]"') from error

        def ask() -> Any:
            config = Config(connect_timeout=5, read_timeout=10, retries={"max_attempts": 2})
            return getattr(Session().client("kms", endpoint_url=self.endpoint, config=config), call)(**values)

        try:
            return await asyncio.to_thread(ask)
        except (BotoCoreError, ClientError) as error:
            raise KeyUnavailable(
                f"the key-management service refuses or does not answer: {type(error).__name__}",
                where=self.name,
                hint="Check FIEL_KMS and its credentials; the chain verifies without it",
            ) from error
