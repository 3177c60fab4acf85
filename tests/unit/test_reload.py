"""Hot reload: a real folder, and never a moment without a policy."""

import asyncio
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fiel.infra.reload import SIGNAL, WATCHER, Reloader, on_hangup
from fiel.policies.bundle import load_bundles
from fiel.policies.evaluate import GuardrailsPolicies
from fiel.tools.errors import DatabaseUnavailable, PolicyError
from fiel.tools.principal import Principal

HOUSE = """\
name: house
extends: default
checks:
  - check: banned
    stages: {input: block}
    with: {words: [WORD]}
examples:
  - {stage: input, text: "Where is the office?", expect: allow}
"""
ADMINISTRATOR = Principal("default", "root", roles=frozenset({"administrator"}))


def written(folder: Path, text: str, name: str = "house.yaml") -> None:
    """As a careful hand does it: aside, then renamed."""
    (folder / "new").write_text(text, encoding="utf-8")
    (folder / "new").replace(folder / name)


class House:
    """Policies over a folder, and what was recorded about them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.acts: list[tuple[Principal, Mapping[str, Any]]] = []
        self.down = False
        self.policies = GuardrailsPolicies(load_bundles(folder))
        self.reloader = Reloader(str(folder), self.policies, self.note)

    async def note(self, principal: Principal, changed: Mapping[str, Any]) -> None:
        if self.down:
            raise DatabaseUnavailable("the database does not answer")
        self.acts.append((principal, changed))

    async def looked(self) -> bool:
        """The two looks after which a folder that lies still is loaded."""
        await self.reloader.look()
        return await self.reloader.look()

    async def verdict(self, text: str, version: str = "") -> str:
        bundle = self.policies.bundle("house", version)
        return (await self.policies.check(bundle, "input", [text])).reason


@pytest.fixture
def house(tmp_path: Path) -> House:
    written(tmp_path, HOUSE.replace("WORD", "alpha"))
    return House(tmp_path)


async def test_a_changed_folder_is_swapped_in_and_is_an_act(house: House) -> None:
    assert not await house.looked()
    old = house.policies.bundle("house").version
    written(house.folder, HOUSE.replace("WORD", "beta"))
    assert await house.looked()
    new = house.policies.bundle("house").version
    assert house.acts == [(WATCHER, {"house": {"before": old, "after": new}})]
    assert (await house.verdict("alpha"), await house.verdict("beta")) == ("ok", "banned_word")
    assert not await house.looked()
    assert house.reloader.reloads == 1


async def test_a_run_keeps_the_version_that_it_began_with(house: House) -> None:
    old = house.policies.bundle("house").version
    written(house.folder, HOUSE.replace("WORD", "beta"))
    await house.looked()
    assert (await house.verdict("alpha", old), await house.verdict("beta", old)) == ("banned_word", "ok")
    (house.folder / "house.yaml").unlink()
    written(house.folder, HOUSE.replace("house", "other"), "other.yaml")
    assert await house.looked()
    assert await house.verdict("alpha", old) == "banned_word"
    with pytest.raises(PolicyError, match="no policy bundle 'house'"):
        house.policies.bundle("house")
    assert house.policies.bundle("other", "0" * 64).name == "other"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("name: house\nchecks: [", "not valid YAML"),
        (HOUSE[: HOUSE.index("stages")], "'stages' is missing"),
        (HOUSE.replace("expect: allow", "expect: block"), "fails its own example"),
        (HOUSE.replace("check: banned", "check: length\n    with: {characters: 9000}\n    id: length"), "stands twice"),
        ("name: default\n", "exists already"),
        ("", "the file is empty"),
    ],
)
async def test_a_broken_set_keeps_the_old_one_and_says_so(
    house: House, caplog: pytest.LogCaptureFixture, text: str, what: str
) -> None:
    await house.looked()
    written(house.folder, text)
    assert not await house.looked()
    assert await house.verdict("alpha") == "banned_word"
    problem = house.reloader.problem
    assert problem is not None
    assert what in problem.what
    assert "house.yaml" in problem.where
    await house.looked()
    assert caplog.text.count("the policies in use are kept") == 1
    with pytest.raises(PolicyError, match=what):
        await house.reloader.reload(ADMINISTRATOR)
    written(house.folder, HOUSE.replace("WORD", "beta"))
    assert await house.looked()
    assert house.reloader.problem is None
    assert house.acts[0][1].keys() == {"house"}


async def test_a_file_that_is_being_written_is_waited_for(house: House) -> None:
    await house.looked()
    whole = HOUSE.replace("WORD", "beta")
    file = house.folder / "house.yaml"
    for end in range(20, len(whole), 40):
        file.write_text(whole[:end], encoding="utf-8")
        assert not await house.reloader.look()
        assert house.reloader.problem is None
    file.write_text(whole, encoding="utf-8")
    assert await house.looked()
    assert await house.verdict("beta") == "banned_word"


async def test_a_folder_that_goes_keeps_the_old_set(house: House, tmp_path: Path) -> None:
    await house.looked()
    await asyncio.to_thread(tmp_path.rename, tmp_path.with_name("elsewhere"))
    try:
        watching = asyncio.create_task(house.reloader.watch())
        for _ in range(100):
            if house.reloader.problem is not None:
                break
            await asyncio.sleep(0.02)
        watching.cancel()
    finally:
        await asyncio.to_thread(tmp_path.with_name("elsewhere").rename, tmp_path)
    assert house.reloader.problem is not None
    assert await house.verdict("alpha") == "banned_word"


async def test_what_cannot_be_recorded_does_not_happen(house: House) -> None:
    await house.looked()
    house.down = True
    written(house.folder, HOUSE.replace("WORD", "beta"))
    assert not await house.looked()
    assert await house.verdict("alpha") == "banned_word"
    assert house.reloader.problem is not None
    house.down = False
    assert await house.reloader.look()
    assert await house.verdict("beta") == "banned_word"


async def test_an_administrator_need_not_wait(house: House) -> None:
    written(house.folder, HOUSE.replace("WORD", "beta"))
    changed = await house.reloader.reload(ADMINISTRATOR)
    assert changed.keys() == {"house"}
    assert house.acts == [(ADMINISTRATOR, changed)]
    assert await house.reloader.reload(ADMINISTRATOR) == {}


async def until(met: Any) -> None:
    for _ in range(500):
        if met():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not happen in ten seconds")


async def test_a_signal_loads_the_folder_with_the_same_guarantees(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    with on_hangup() as hangups, hangups.reload(house.reloader):
        written(house.folder, HOUSE.replace("WORD", "beta"))
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: house.reloader.reloads == 1)
        assert [who for who, _ in house.acts] == [SIGNAL]
        assert await house.verdict("beta") == "banned_word"
        written(house.folder, HOUSE.replace("expect: allow", "expect: block"))
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: "SIGHUP: the policies in use are kept: bundle 'house' fails its own" in caplog.text)
        assert await house.verdict("beta") == "banned_word"
        assert len(house.acts) == 1


async def test_a_signal_without_a_folder_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with on_hangup() as hangups, hangups.reload(None):
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: "there is no folder of policies" in caplog.text)


async def test_a_signal_during_the_start_counts_and_one_during_the_stop_ends_nothing(house: House) -> None:
    before = signal.getsignal(signal.SIGHUP)
    with on_hangup() as hangups:
        written(house.folder, HOUSE.replace("WORD", "beta"))
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0)
        assert not house.acts
        with hangups.reload(house.reloader):
            await until(lambda: house.reloader.reloads == 1)
        written(house.folder, HOUSE.replace("WORD", "gamma"))
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0.1)
        assert await house.verdict("beta") == "banned_word"
    assert signal.getsignal(signal.SIGHUP) == before


async def test_texts_are_judged_all_the_time_while_sets_change(house: House) -> None:
    """Every check during swaps is decided by one whole set, the old or the new, and none goes without."""
    done = False
    reasons: list[tuple[str, str]] = []

    async def ask() -> None:
        while not done:
            bundle = house.policies.bundle("house")
            both = [(await house.policies.check(bundle, "input", [word])).reason for word in ("alpha", "beta")]
            reasons.append((both[0], both[1]))
            await asyncio.sleep(0)

    asking = [asyncio.create_task(ask()) for _ in range(8)]
    for word in ("beta", "alpha", "beta", "alpha"):
        written(house.folder, HOUSE.replace("WORD", word))
        await house.reloader.reload(ADMINISTRATOR)
        await asyncio.sleep(0.02)
    done = True
    await asyncio.gather(*asking)
    assert house.reloader.reloads == 4
    assert set(reasons) == {("banned_word", "ok"), ("ok", "banned_word")}
