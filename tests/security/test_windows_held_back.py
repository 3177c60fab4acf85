"""Answers in windows over the host that clients see: whatever the tokens, the modes and the place of what fails.

What a caller is shown is the released beginning of the answer; of what a check blocks or the judge rejects, and of what
stands behind it, no byte is.
"""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fiel.graphs.answer.graph import NAME
from fiel.infra.hosts.own import OwnHost
from fiel.infra.hosts.port import MODES, PROTOCOL
from tests.graph.conftest import House, house  # noqa: F401
from tests.graph.test_windows import FACTS, LEAK, SECRET, prepare
from tests.hosts_support import READER, new_thread, order, query, read

ASKED = {"messages": [{"role": "user", "content": "What does the archive keep?"}]}
BAD = st.sampled_from(("policy", "judge", ""))
quick = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))


def own(house: House) -> OwnHost:  # noqa: F811
    async def made() -> Any:
        return house.graph

    return OwnHost(made)


def told(house: House, data: st.DataObject) -> tuple[list[str], list[str]]:  # noqa: F811
    """Prepare an answer in which a sentence may fail; what may be shown of it at most, and what may never be."""
    bad, place = data.draw(BAD), data.draw(st.integers(0, len(FACTS)))
    before, after = FACTS[:place], FACTS[place:]
    prepare(house, *before, *([SECRET] if bad else []), *after)
    house.models.labels = lambda one: "unsupported" if bad == "judge" and "password" in one.text else "supported"
    text = house.models.written or ""
    if bad == "judge":
        house.models.written = text = text.replace(LEAK, "nobody's business")
    cuts = sorted(data.draw(st.sets(st.integers(1, len(text) - 1), max_size=50)))
    house.models.tokens = lambda text: [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    return (before, [*after, "password", LEAK, "nobody's business"]) if bad else (FACTS, ["password"])


def spoken(messages: list[Any]) -> str:
    """The text of the one message that a client puts together from its pieces."""
    assert len({message["id"] for message in messages}) == 1
    if [message["type"] for message in messages] == ["ai"]:
        return str(messages[0]["content"])
    assert {message["type"] for message in messages} == {"AIMessageChunk"}
    return "".join(message["content"] for message in messages)


@quick
@given(data=st.data(), modes=st.sets(st.sampled_from(MODES), min_size=1))
async def test_no_byte_of_what_fails_or_follows_is_shown(house: House, data: st.DataObject, modes: set[str]) -> None:  # noqa: F811
    host, thread = own(house), new_thread()
    may, never = told(house, data)
    given_order = order(NAME, thread, READER, input=ASKED, context={"release": "window"}, stream_modes=sorted(modes))
    events, end = await read(host, given_order)
    state, past = await host.state(query(NAME, thread)), await host.history(query(NAME, thread), limit=100)
    seen = b"".join(event.data for event in events).decode() + end.values.decode() + repr(state) + repr(past)
    for text in never:
        assert text.removesuffix(".") not in seen
    final = state["values"]["answer"]
    assert all(fact[:-1] in final for fact in may) or "ends here" in final or state["values"]["outcome"] != "answered"
    if "messages-tuple" in modes:
        assert spoken([event.value()[0] for event in events if event.event == "messages"]) == final
    if "messages" in modes:
        kept = [event.value()[0] for event in events if event.event in ("messages/partial", "messages/complete")]
        assert kept[-1]["content"] == final


@quick
@given(data=st.data())
async def test_nor_over_the_newer_transport(house: House, data: st.DataObject) -> None:  # noqa: F811
    host, thread = own(house), new_thread()
    _, never = told(house, data)
    given_order = order(NAME, thread, READER, input=ASKED, context={"release": "window"}, stream_modes=[PROTOCOL])
    events, end = await read(host, given_order)
    seen = b"".join(event.data for event in events).decode() + end.values.decode()
    for text in never:
        assert text.removesuffix(".") not in seen
