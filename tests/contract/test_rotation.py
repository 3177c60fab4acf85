"""Rotation of the master key: everything stays readable, whatever interrupts it, and a lost key is told as such."""

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fiel.infra.database.connect import Database
from fiel.infra.desk import audit
from fiel.infra.ledger.acts import acts
from fiel.infra.ledger.keys import KEY_FILE, KeyUnavailable, file_cipher, load_all, renew
from fiel.infra.ledger.kms import Kms
from fiel.infra.ledger.rotation import move, rotate
from fiel.infra.ledger.subjects import SubjectKeys
from fiel.infra.runs.sealed import Sealer
from fiel.infra.settings import Settings
from fiel.tools.errors import NotPermitted, SettingsError
from fiel.tools.principal import Principal, local_administrator
from tests.answering import Answering, answering
from tests.conftest import Urls

ADMIN = local_administrator("acme")
NAMES = ("ana", "ben", "eve")


async def filled(database: Database, file: Path) -> dict[str, str]:
    """Three people with two data keys each: name and id of that of the day."""
    keys = SubjectKeys(database.system, file_cipher(file))
    return {name: (await keys.of("acme", name)).id for name in NAMES}


async def readable(database: Database, file: Path, made: dict[str, str]) -> bool:
    keys = SubjectKeys(database.system, file_cipher(file))
    return all([(await keys.named(id)).id == id for id in made.values()])


async def masters(database: Database) -> set[str]:
    async with database.system() as connection:
        rows = await (await connection.execute("SELECT DISTINCT master FROM fiel.subject_keys")).fetchall()
    return {row[0] for row in rows}


async def acted(database: Database) -> list[tuple[str, str]]:
    async with database.acting(ADMIN) as connection:
        found = [one.body for one in await acts(connection, "acme")]
    return [(one["subject"], one["detail"]["from"]) for one in found if one["kind"] == "key_rotate"]


async def test_every_data_key_is_wrapped_anew_and_what_lay_under_the_old_key_opens(
    database: Database, tmp_path: Path
) -> None:
    file = tmp_path / KEY_FILE
    made, serving = await filled(database, file), file_cipher(file)
    old = Sealer(serving).seal("values", "t", b"a thread")
    first = load_all(file)[0].id
    done = await rotate(database, ADMIN, file)
    assert (done.wrapped, done.resumed, [key.id for key in load_all(file)]) == (6, False, [done.key, first])
    assert file.stat().st_mode & 0o777 == 0o600
    assert await masters(database) == {done.key}
    assert await acted(database) == [(done.key, first)]
    assert await readable(database, file, made)
    assert Sealer(file_cipher(file)).open("values", "t", old) == b"a thread"
    new = Sealer(file_cipher(file)).seal("values", "t", b"more")
    assert Sealer(serving).open("values", "t", new) == b"more", "a process that runs finds the new key"
    again = await rotate(database, ADMIN, file)
    assert (again.wrapped, len(load_all(file))) == (6, 3)
    assert await readable(database, file, made)


async def test_only_administrators_rotate(database: Database, tmp_path: Path) -> None:
    with pytest.raises(NotPermitted):
        await rotate(database, Principal("acme", "ana"), tmp_path / KEY_FILE)


async def test_a_rotation_that_was_cut_off_before_its_act_is_finished(database: Database, tmp_path: Path) -> None:
    file = tmp_path / KEY_FILE
    made = await filled(database, file)
    fresh = renew(file)  # and there the process was killed
    assert await readable(database, file, made)
    done = await rotate(database, ADMIN, file)
    assert (done.key, done.wrapped, done.resumed) == (fresh.id, 6, True)
    assert len(await acted(database)) == 1


async def test_with_the_file_lost_the_error_is_clear_and_the_chain_holds(database: Database, tmp_path: Path) -> None:
    from tests.contract.test_ledger_subjects import ask

    settings = Settings(home=str(tmp_path))
    await ask(database, "ana")  # under a key that this home has never had
    with pytest.raises(KeyUnavailable, match="which is not here"):
        file = tmp_path / KEY_FILE
        file_cipher(file)
        await rotate(database, ADMIN, file)
    value = await audit.verify(settings, database, ADMIN)
    assert (value["broken"], value["erased"], value["lost"]) == ([], 0, 1)


async def dies(url: str, home: str) -> None:
    """What the killed process does: is killed after the first data key of three."""
    from fiel.infra.ledger import rotation

    class Killing(rotation.FileWrapping):
        async def wrap(self, id: str, secret: bytes) -> bytes:
            os.kill(os.getpid(), signal.SIGKILL)
            return b""

    rotation.FileWrapping = Killing  # type: ignore[misc]
    async with Database(url) as database:
        await rotate(database, ADMIN, Path(home) / KEY_FILE)


@pytest.mark.faults
async def test_killed_among_the_data_keys_it_goes_on_with_the_same_key(
    database: Database, database_urls: Urls, tmp_path: Path
) -> None:
    made = await filled(database, tmp_path / KEY_FILE)
    code = "import asyncio, sys; from tests.contract import test_rotation as t; asyncio.run(t.dies(*sys.argv[1:]))"
    command: list[Any] = [sys.executable, "-c", code, database_urls.runtime, str(tmp_path)]
    killed = await asyncio.to_thread(subprocess.run, command, cwd=Path(__file__).parents[2], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert await readable(database, tmp_path / KEY_FILE, made)
    done = await rotate(database, ADMIN, tmp_path / KEY_FILE)
    assert (done.resumed, done.wrapped, len(load_all(tmp_path / KEY_FILE))) == (True, 6, 2)
    assert len(await acted(database)) == 1
    assert await readable(database, tmp_path / KEY_FILE, made)


class Service(Answering):
    """As much of AWS KMS as data keys need: a ciphertext opens with its own context alone."""

    down = False

    def do_POST(self) -> None:
        asked = json.loads(self.asked())
        context = json.dumps(asked["EncryptionContext"]).encode()
        master = AESGCM(b"m" * 32)
        status, body = 200, dict[str, str]()
        if self.down:
            status, body = 400, {"__type": "DisabledException"}
        elif self.headers["x-amz-target"] == "TrentService.Encrypt":
            sealed = master.encrypt(b"n" * 12, base64.b64decode(asked["Plaintext"]), context)
            body = {"CiphertextBlob": base64.b64encode(sealed).decode()}
        else:
            try:
                plain = master.decrypt(b"n" * 12, base64.b64decode(asked["CiphertextBlob"]), context)
                body = {"Plaintext": base64.b64encode(plain).decode()}
            except InvalidTag:
                status, body = 400, {"__type": "InvalidCiphertextException"}
        self.reply(status, body)


@pytest.fixture
def kms(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Kms, type[Service]]]:
    for setting in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(setting, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "local")
    mine = type("Mine", (Service,), {})
    with answering(mine) as at:
        yield Kms.at(f"aws:k-1?endpoint=http://{at}"), mine


async def test_data_keys_move_under_a_service_and_back_none_is_lost(
    database: Database, tmp_path: Path, kms: tuple[Kms, type[Service]]
) -> None:
    service, handler = kms
    made, cipher = await filled(database, tmp_path / KEY_FILE), file_cipher(tmp_path / KEY_FILE)
    cipher.service = service
    assert all([(await SubjectKeys(database.system, cipher).named(id)).id == id for id in made.values()])
    done = await move(database, ADMIN, cipher)
    assert (done.key, done.wrapped, await masters(database)) == ("k-1", 6, {"k-1"})
    assert await acted(database) == [("k-1", cipher.key.id)]
    keys = SubjectKeys(database.system, cipher)
    assert all([(await keys.named(id)).id == id for id in made.values()])
    assert (await move(database, ADMIN, cipher)).wrapped == 0
    with pytest.raises(KeyUnavailable, match="which is not here"):  # who has the key file alone reads nothing
        await SubjectKeys(database.system, file_cipher(tmp_path / KEY_FILE)).named(made["ana"])
    handler.down = True
    with pytest.raises(KeyUnavailable, match="refuses or does not answer"):
        await SubjectKeys(database.system, cipher).named(made["ana"])


async def test_a_service_opens_a_data_key_under_its_own_name_alone(kms: tuple[Kms, type[Service]]) -> None:
    service, _ = kms
    wrapped = await service.wrap("one", b"s" * 32)
    assert await service.unwrap("one", wrapped) == b"s" * 32
    with pytest.raises(KeyUnavailable):
        await service.unwrap("other", wrapped)
    for wrong in ("k-1", "gcp:k", "aws:"):
        with pytest.raises(SettingsError):
            Kms.at(wrong)
