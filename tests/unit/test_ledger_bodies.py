"""Bodies of entries as the database keeps them: the same bytes come back, and no change of what is kept goes unseen."""

import threading
from hashlib import sha256

import orjson
from hypothesis import given, settings
from hypothesis import strategies as some

from fiel.infra.ledger.bodies import WORDS, body_of, stored

BODY = orjson.dumps(
    {
        "at": 1_700_000_000_000_000,
        "attempt": 1,
        "decision": {"verdicts": [{"action": "allow", "check": "length", "version": "f" * 64, "spans": []}] * 6},
        "edited": False,
        "effects": [{"kind": "check", "n": 0, "request": "a" * 64, "response": "b" * 64}],
        "hop": "guard_output",
    }
)


@given(some.one_of(some.binary(max_size=300), some.text(max_size=300).map(str.encode), some.just(BODY)))
@settings(deadline=None, max_examples=200)
def test_what_is_stored_comes_back(body: bytes) -> None:
    assert body_of(stored(body)) == body


def test_a_plain_body_of_an_older_version_is_read_as_it_is() -> None:
    assert body_of(BODY) == BODY


def test_no_flipped_bit_and_no_missing_byte_gives_the_body_back() -> None:
    kept = stored(BODY)
    assert len(kept) * 3 < len(BODY)
    for bit in range(8 * len(kept)):
        bent = bytearray(kept)
        bent[bit // 8] ^= 1 << bit % 8
        assert body_of(bytes(bent)) != BODY, bit
    for length in range(len(kept)):
        assert body_of(kept[:length]) != BODY


def test_what_bodies_are_compressed_against_never_changes() -> None:
    assert sha256(WORDS).hexdigest() == "fd535213a9cb90ed6d39aafd71605979b6ea81757c4fc2ed7930fe1c4ddf538e"


def test_threads_do_not_share_a_compressor() -> None:
    found: list[bool] = []

    def work() -> None:
        found.append(all(body_of(stored(BODY + b" " * count)) == BODY + b" " * count for count in range(200)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 4
