"""Key files, what is encrypted with them, and the wire form of spans."""

import hmac
import pickle
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status, TracesData

from fiel.infra.ledger.frames import pack, unpack
from fiel.infra.ledger.keys import Cipher, Key, KeyUnavailable, key_of, load, load_or_create
from fiel.infra.telemetry import otlp
from fiel.tools.canonical import Mac, content_digest, digest


def test_a_key_file_is_made_once_and_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "ledger.key"
    found: list[Key] = []
    threads = [threading.Thread(target=lambda: found.append(load_or_create(path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({key.id for key in found}) == 1
    assert len(found) == 8
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["ledger.key"]
    assert found[0].secret.hex() not in repr(found[0])


@pytest.mark.parametrize("text", ["", "not base64!", "c2hvcnQ="])
def test_an_unreadable_key_file_is_an_error_and_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ledger.key"
    path.write_text(text)
    with pytest.raises(KeyUnavailable):
        load_or_create(path)
    assert path.read_text() == text


def test_a_missing_key_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyUnavailable, match="cannot be read"):
        load(tmp_path / "none")


def test_what_is_sealed_opens_for_its_purpose_its_run_and_its_key_alone() -> None:
    cipher, other = Cipher(key_of(b"a" * 32)), Cipher(key_of(b"b" * 32))
    blob = cipher.seal("frame", "r1", b"text" * 1000)
    assert len(blob) < 200
    assert b"text" not in blob
    assert cipher.open("frame", "r1", blob, cipher.key.id) == b"text" * 1000
    for purpose, run in (("draft", "r1"), ("frame", "r2")):
        with pytest.raises(KeyUnavailable, match="altered"):
            cipher.open(purpose, run, blob, cipher.key.id)
    with pytest.raises(KeyUnavailable, match="altered"):
        cipher.open("frame", "r1", blob[:-1] + bytes([blob[-1] ^ 1]), cipher.key.id)
    with pytest.raises(KeyUnavailable, match="not here"):
        other.open("frame", "r1", blob, cipher.key.id)
    rotated = Cipher(other.key, older=[cipher.key])
    assert rotated.open("frame", "r1", blob, cipher.key.id) == b"text" * 1000


@given(key=st.binary(min_size=1, max_size=64), data=st.binary(max_size=300))
def test_a_key_of_digests_gives_what_hmac_gives(key: bytes, data: bytes) -> None:
    mac = pickle.loads(pickle.dumps(Mac(key)))  # noqa: S301 - what we wrote ourselves
    expected = hmac.digest(key, data, "sha256").hex()
    assert content_digest(data, mac) == mac.of(data) == content_digest(data, bytes(mac)) == expected


def test_a_key_of_digests_is_no_longer_than_a_block() -> None:
    with pytest.raises(ValueError, match="64"):
        Mac(b"k" * 65)


def test_frames_unpack_to_what_was_packed() -> None:
    kept = (b"", b"one", bytes(range(256)) * 300)
    for mac in (b"", b"m" * 32):
        contents = {content_digest(data, mac): data for data in kept}
        assert dict(unpack(pack(kept), mac)) == contents
        assert not contents.keys() & {digest for digest, _ in unpack(pack(kept), b"other key")}


def test_a_frame_of_an_older_version_is_read_and_held_to_its_digests() -> None:
    kept = {digest(data): data for data in (b"one", b"two", b"")}
    older = b"".join(bytes.fromhex(name) + len(data).to_bytes(4, "little") + data for name, data in kept.items())
    assert dict(unpack(older, b"")) == kept
    assert dict(unpack(older.replace(b"two", b"too"), b"")) == {digest(data): data for data in (b"one", b"")}


def test_spans_are_what_opentelemetry_reads() -> None:
    values: dict[str, otlp.Value] = {
        "text": "año",
        "long": "x" * 5000,
        "yes": True,
        "no": False,
        "one": 1,
        "big": 2**40,
        "negative": -5,
        "float": 0.25,
    }
    ids = {"trace": b"t" * 16, "id": b"s" * 8}
    ok = otlp.span(**ids, parent=b"p" * 8, name="hop", start=10**18, end=10**18 + 5, values=values, error=None)
    failed = otlp.span(**ids, parent=b"", name="año", start=1, end=2, values={}, error="timeout")
    resource = (("service.name", "fiel"),)
    data = TracesData.FromString(otlp.traces([ok, failed], resource=resource) + otlp.traces([ok], resource=resource))
    assert len(data.resource_spans) == 2
    assert data.resource_spans[0].resource.attributes[0].value.string_value == "fiel"
    assert data.resource_spans[0].scope_spans[0].scope.name == "fiel"
    one, two = data.resource_spans[0].scope_spans[0].spans
    read = {item.key: getattr(item.value, str(item.value.WhichOneof("value"))) for item in one.attributes}
    assert read == values
    assert [type(read[name]) for name in ("yes", "one")] == [bool, int]
    assert (one.name, one.trace_id, one.span_id, one.parent_span_id) == ("hop", b"t" * 16, b"s" * 8, b"p" * 8)
    assert (one.start_time_unix_nano, one.end_time_unix_nano) == (10**18, 10**18 + 5)
    assert one.kind == Span.SPAN_KIND_INTERNAL
    assert one.status.code == Status.STATUS_CODE_OK
    assert (two.name, two.parent_span_id, two.status.code) == ("año", b"", Status.STATUS_CODE_ERROR)
    assert two.status.message == "timeout"
