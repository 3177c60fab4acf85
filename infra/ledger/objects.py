"""Signed heads in an object store that speaks S3: one object a head, never written over.

Needs boto3 (`pip install "fiel[aws]"`), which finds its credentials as it always does. Give the bucket object lock or
versions, and the credentials no right to delete, and nobody who has them can take a head back.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fiel.infra.ledger.heads import Head, HeadsAltered, HeadsUnwritten, head_of
from fiel.tools.errors import SettingsError


@dataclass(frozen=True, slots=True)
class ObjectPlace:
    """Objects `PREFIX/TENANT/NUMBER.json` of a bucket; the tenant by its digest."""

    bucket: str
    prefix: str
    endpoint: str | None = None

    @classmethod
    def at(cls, text: str) -> "ObjectPlace":
        """`s3://bucket/prefix`, with `?endpoint=URL` for a store that is not Amazon's. Raises SettingsError."""
        parts = urlsplit(text)
        if not parts.netloc:
            raise SettingsError("an object store needs a bucket", where="FIEL_HEADS", hint="Write s3://bucket/prefix")
        endpoint = parse_qs(parts.query).get("endpoint", [None])[0]
        return cls(parts.netloc, parts.path.strip("/") or "fiel", endpoint)

    @property
    def name(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"

    async def keep(self, heads: Sequence[Head]) -> None:
        await self._ask(self._keep, heads)

    async def kept(self, tenant: str) -> Sequence[Head]:
        found: list[Head] = await self._ask(self._kept, tenant)
        return found

    def _folder(self, tenant: str) -> str:
        return f"{self.prefix}/{sha256(tenant.encode()).hexdigest()[:16]}/"

    def _keep(self, client: Any, heads: Sequence[Head]) -> None:
        for head in heads:
            key = f"{self._folder(head.tenant)}{head.number:012d}-{head.signature.hex()[:16]}.json"
            client.put_object(Bucket=self.bucket, Key=key, Body=head.line(), ContentType="application/json")

    def _kept(self, client: Any, tenant: str) -> list[Head]:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self._folder(tenant))
        names = [one["Key"] for page in pages for one in page.get("Contents", ())]
        return [head_of(client.get_object(Bucket=self.bucket, Key=name)["Body"].read()) for name in names]

    async def _ask(self, call: Any, *values: Any) -> Any:
        try:
            from boto3.session import Session
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError, ClientError
        except ImportError as error:
            raise SettingsError(
                "an object store needs boto3", where="FIEL_HEADS", hint='pip install "fiel[aws]"'
            ) from error

        def ask() -> Any:
            config = Config(connect_timeout=5, read_timeout=10, retries={"max_attempts": 2})
            return call(Session().client("s3", endpoint_url=self.endpoint, config=config), *values)

        try:
            return await asyncio.to_thread(ask)
        except (BotoCoreError, ClientError) as error:
            raise HeadsUnwritten(f"the object store failed: {type(error).__name__}", where=self.name) from error
        except (ValueError, KeyError, AttributeError) as error:
            raise HeadsAltered("an object is no signed head", where=self.name) from error
