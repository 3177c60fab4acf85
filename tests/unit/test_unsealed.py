"""What a flush keeps is sealed once, where it is written, and nothing that comes later changes it."""

from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from opentelemetry.trace import Status, StatusCode

from fiel.infra.ledger.frames import unpack
from fiel.infra.ledger.keys import Cipher, key_of
from fiel.infra.ledger.receipts import receipt, receipts
from fiel.infra.ledger.unsealed import Unsealed
from fiel.infra.telemetry.span import HopSpan
from fiel.tools.canonical import Mac

RUN, MAC, CIPHER = "0" * 8 + "-0000-4000-8000-" + "0" * 12, Mac(b"m" * 32), Cipher(key_of(b"k" * 32))
RESOURCE = (("service.name", "fiel"),)


def ended(name: str) -> HopSpan:
    """A span that says what it is, and has ended."""
    span = HopSpan(name, 5, 0, lambda ended: None)
    span.set_attribute("said", name)
    span.end()
    return span


def contents(unsealed: Unsealed) -> dict[str, bytes]:
    return dict(unpack(CIPHER.open("frame", RUN, unsealed.kept().frame, CIPHER.key.id), MAC))


def test_it_is_sealed_once_so_that_a_second_try_writes_the_same() -> None:
    unsealed = Unsealed(RUN, CIPHER, MAC, [b"a", b"b"], (), (ended("one"),), [("d" * 64, b"draft")], RESOURCE)
    kept = unsealed.kept()
    assert unsealed.kept() is kept
    assert list(contents(unsealed).values()) == [b"a", b"b"]
    assert CIPHER.open("draft", RUN, kept.drafts[0][1], CIPHER.key.id) == b"draft"
    assert Unsealed(RUN, CIPHER, MAC, [b"a", b"b"], (), (), (), RESOURCE).kept().frame != kept.frame  # of its own nonce


def test_receipts_go_with_the_contents_also_those_that_are_owed() -> None:
    before, now = ended("before"), ended("now")
    unsealed = Unsealed(RUN, CIPHER, MAC, [b"a"], (before, now), (now,), (), RESOURCE)
    found = receipts(contents(unsealed))
    assert sorted(found.values()) == sorted(receipt(span.written(), MAC) for span in (before, now))
    sent = TracesData.FromString(CIPHER.open("spans", RUN, unsealed.kept().spans, CIPHER.key.id))
    assert [one.name for one in sent.resource_spans[0].scope_spans[0].spans] == ["now"]


def test_nothing_to_keep_is_nothing() -> None:
    assert Unsealed(RUN, CIPHER, MAC, (), (), (), (), RESOURCE).kept() == (b"", b"", ())


def test_a_span_that_has_ended_stays_as_it_was() -> None:
    span = ended("one")
    before = span.written()
    span.set_attribute("said", "something else")
    span.set_attributes({"more": 1})
    span.update_name("another")
    span.set_status(Status(StatusCode.ERROR))
    span.record_exception(ValueError("no"))
    span.end(7)
    assert span.written() == before
    assert not span.is_recording()
