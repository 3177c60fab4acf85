"""Second places of signed heads: one suite for a file, another database, an object store and a stamp of time."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4
from xml.sax.saxutils import escape

import pytest

from fiel.infra.database.connect import Database
from fiel.infra.desk import audit
from fiel.infra.ledger.elsewhere import Elsewhere, Spread, places
from fiel.infra.ledger.heads import Head, HeadsUnwritten, Signer
from fiel.infra.ledger.sealing import ChainedStore, Sealing
from fiel.infra.settings import Settings
from fiel.tools.errors import SettingsError
from tests.answering import Answering, answering
from tests.conftest import Postgres, Urls
from tests.contract.test_ledger_audit import ADMIN, TABLES, fill, flush, tamper

pytestmark = pytest.mark.slow

KINDS = ("file", "database", "objects", "timestamps")
EXTENSIONS = """
[tsa]
extendedKeyUsage = critical,timeStamping
[tsa_config]
serial = serial
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256,sha384,sha512
"""


class Objects(Answering):
    """As much of S3 as heads need."""

    objects: dict[str, bytes] = {}  # noqa: RUF012 - each test sets its own

    def do_PUT(self) -> None:
        self.objects[unquote(urlsplit(self.path).path)] = self.asked()
        self.reply(200)

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if "list-type" in parts.query:
            prefix = f"{parts.path.rstrip('/')}/{parse_qs(parts.query)['prefix'][0]}"
            names = [name for name in sorted(self.objects) if name.startswith(prefix)]
            keys = "".join(f"<Contents><Key>{escape(name.split('/', 2)[2])}</Key></Contents>" for name in names)
            return self.reply(200, f"<ListBucketResult>{keys}</ListBucketResult>".encode())
        return self.reply(200, self.objects[unquote(parts.path)])


class Authority(Answering):
    """Stamps times with OpenSSL."""

    folder = Path()

    def do_POST(self) -> None:
        query = self.folder / "query.tsq"
        query.write_bytes(self.asked())
        command = f"openssl ts -reply -config tsa.cnf -section tsa_config -queryfile {query.name}".split()
        files = ["-signer", "tsa.pem", "-inkey", "tsa.key", "-out", "reply.tsr"]
        subprocess.run([*command, *files], cwd=self.folder, check=True, capture_output=True)
        self.reply(200, (self.folder / "reply.tsr").read_bytes())


def authority(folder: Path, name: str = "root") -> Path:
    """Keys and certificates of an authority; the root's certificate."""
    folder.mkdir(exist_ok=True)
    (folder / "tsa.cnf").write_text(EXTENSIONS)
    (folder / "serial").write_text("01\n")
    steps = (
        f"req -x509 -newkey rsa:2048 -nodes -keyout root.key -out root.pem -days 2 -subj /CN={name}",
        "req -newkey rsa:2048 -nodes -keyout tsa.key -out tsa.csr -subj /CN=stamps",
        "x509 -req -in tsa.csr -CA root.pem -CAkey root.key -out tsa.pem -days 2 -extfile tsa.cnf -extensions tsa",
    )
    for step in steps:
        try:
            subprocess.run(["openssl", *step.split()], cwd=folder, check=True, capture_output=True)
        except FileNotFoundError:
            pytest.skip("there is no openssl to make a time-stamping authority of")
    return folder / "root.pem"


@pytest.fixture
def somewhere(
    request: pytest.FixtureRequest, tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, str]]:
    """A place of the kind that the test names: the setting, and the certificates that it needs."""
    if request.param == "file":
        yield str(tmp_path / "other" / "heads.jsonl"), ""
    elif request.param == "database":
        name = postgres.create()
        yield postgres.urls(name).owner.replace("user=", "postgresql:///?user=", 1).replace(" ", "&"), ""
        postgres.drop(name)
    elif request.param == "objects":
        for setting in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(setting, "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "local")
        with answering(type("Mine", (Objects,), {"objects": {}})) as at:
            yield f"s3://heads/fiel?endpoint=http://{at}", ""
    else:
        root = authority(tmp_path / "tsa")
        with answering(type("Mine", (Authority,), {"folder": tmp_path / "tsa"})) as at:
            yield f"tsa+http://{at}/", str(root)


@pytest.mark.parametrize("somewhere", KINDS, indirect=True)
async def test_heads_come_back_as_they_were_of_one_tenant(somewhere: tuple[str, str], tmp_path: Path) -> None:
    (place,) = places(somewhere[0], tmp_path, somewhere[1])
    signer = Signer(tmp_path / "k", tmp_path / "h")
    heads = [signer.sign("acme", number, bytes([number]) * 32) for number in (1, 2)]
    await place.keep(heads)
    await place.keep([signer.sign("other", 1, b"x" * 32)])
    found = await place.kept("acme")
    assert sorted(found, key=lambda head: head.number) == heads
    assert await place.kept("nobody") == []


@pytest.mark.parametrize("somewhere", KINDS, indirect=True)
async def test_a_chain_made_anew_with_everything_at_home_is_found_by_what_lies_elsewhere(
    somewhere: tuple[str, str], database: Database, database_urls: Urls, tmp_path: Path
) -> None:
    settings = Settings(home=str(tmp_path / "home"), heads=somewhere[0], heads_roots=somewhere[1])
    await fill(database, settings)
    value = await audit.verify(settings, database, ADMIN)
    assert (value["broken"], value["places"][0]["heads"]) == ([], 2)
    tamper(database_urls, *(f"DELETE FROM fiel.{table}" for table in TABLES))
    (tmp_path / "home" / "heads" / "heads.jsonl").unlink()
    value = await audit.verify(settings, database, ADMIN)
    assert any("truncated" in one["what"] or "rebuilt" in one["what"] for one in value["broken"])


async def test_a_place_that_fails_holds_up_nobody_and_gets_its_head_later(tmp_path: Path) -> None:
    class Failing:
        name = "far away"

        def __init__(self) -> None:
            self.fails, self.got = True, list[Head]()

        async def keep(self, heads: Any) -> None:
            if self.fails:
                raise HeadsUnwritten("not now", where=self.name)
            self.got += heads

        async def kept(self, tenant: str) -> list[Head]:
            raise HeadsUnwritten("not now", where=self.name)

    signer, failing = Signer(tmp_path / "k", tmp_path / "h"), Failing()
    (file,) = places(str(tmp_path / "file"), tmp_path)
    kept: list[Elsewhere] = [failing, file]
    spread, heads = Spread(kept), [signer.sign("acme", number, bytes(32)) for number in (1, 2)]
    await spread.keep(heads[:1])
    await spread.keep(heads[1:])
    failing.fails = False
    await spread.keep([])
    assert failing.got == heads[1:]
    assert await file.kept("acme") == heads


async def test_a_stamp_of_nobody_who_is_trusted_is_no_proof(tmp_path: Path) -> None:
    authority(tmp_path / "tsa")
    other = authority(tmp_path / "other", "stranger")
    signer = Signer(tmp_path / "k", tmp_path / "h")
    with answering(type("Mine", (Authority,), {"folder": tmp_path / "tsa"})) as at:
        (strict,) = places(f"tsa+http://{at}/", tmp_path, str(other))
        with pytest.raises(HeadsUnwritten, match="does not hold"):
            await strict.keep([signer.sign("acme", 1, bytes(32))])
        (place,) = places(f"tsa+http://{at}/", tmp_path, str(tmp_path / "tsa" / "root.pem"))
        await place.keep([signer.sign("acme", 1, bytes(32))])
    file = tmp_path / "heads" / "timestamps.jsonl"
    file.write_bytes(file.read_bytes().replace(b'\\"number\\":1', b'\\"number\\":2'))
    with pytest.raises(HeadsUnwritten, match="does not hold"):
        await place.kept("acme")


async def test_what_was_altered_elsewhere_is_broken_and_what_cannot_be_reached_is_said(
    database: Database, tmp_path: Path
) -> None:
    other = tmp_path / "other.jsonl"
    settings = Settings(home=str(tmp_path / "home"), heads=str(other))
    await fill(database, settings)
    whole = other.read_bytes()
    other.write_bytes(whole.replace(b'"signature"', b'"signatures"', 1))
    value = await audit.verify(settings, database, ADMIN)
    assert [(one["what"], one["place"]) for one in value["broken"]] == [("line 1 is no signed head", str(other))]
    other.unlink()
    other.mkdir()
    value = await audit.verify(settings, database, ADMIN)
    assert value["broken"] == [] and "cannot be read" in value["places"][0]["problem"]


def test_what_a_crash_has_cut_makes_room_for_the_next_head(tmp_path: Path) -> None:
    signer, file = Signer(tmp_path / "k", tmp_path / "h"), tmp_path / "h"
    heads = [signer.sign("acme", number, bytes(32)) for number in range(1, 4)]
    signer.keep(heads[0])
    file.write_bytes(file.read_bytes() + heads[1].line()[:40])
    assert list(signer.kept("acme")) == heads[:1]
    for head in heads[1:]:
        signer.keep(head)
    assert list(signer.kept("acme")) == heads


async def test_an_answer_to_another_request_is_no_stamp(tmp_path: Path) -> None:
    """An authority, or whoever stands between, that gives an answer of before: its nonce is another."""
    authority(tmp_path / "tsa")

    class Repeating(Authority):
        folder = tmp_path / "tsa"

        def do_POST(self) -> None:
            old = self.folder / "reply.tsr"
            if not old.exists():
                return super().do_POST()
            self.asked()
            return self.reply(200, old.read_bytes())

    head = Signer(tmp_path / "k", tmp_path / "h").sign("acme", 1, bytes(32))
    with answering(Repeating) as at:
        (place,) = places(f"tsa+http://{at}/", tmp_path, str(tmp_path / "tsa" / "root.pem"))
        await place.keep([head])
        with pytest.raises(HeadsUnwritten, match="does not hold"):
            await place.keep([head])
    assert len(await place.kept("acme")) == 1


def test_a_place_must_be_one(tmp_path: Path) -> None:
    for wrong in ("ftp://x", "s3://", "tsa+https://x"):
        with pytest.raises(SettingsError):
            places(wrong, tmp_path)
    assert places("", tmp_path) == []


async def test_where_chained_before_release_is_asked_for_nothing_waits_after_a_commit(database: Database) -> None:
    store, rival = ChainedStore(database.system, database.aside), Sealing(database.system)
    for _ in range(5):
        await store.append([flush(str(uuid4())) for _ in range(3)])
        async with database.system() as connection:
            row = await (await connection.execute("SELECT count(*) FROM fiel.unsealed")).fetchone()
        assert row == (0,)
    assert await rival.seal() == 0
