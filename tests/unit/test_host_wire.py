"""Whatever a state holds becomes JSON."""

import asyncio
import ipaddress
import re
import struct
import uuid
from collections import deque, namedtuple
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from langgraph.types import Interrupt, Send
from pydantic import BaseModel

from fiel.infra.hosts.frames import LARGEST, Window, pack, unpack
from fiel.infra.hosts.wire import dumps


class Colour(Enum):
    RED = "red"


class Model(BaseModel):
    name: str = "m"


@dataclass
class Thing:
    name: Any


Pair = namedtuple("Pair", "left right")


class Opaque:
    def __repr__(self) -> str:
        return "Opaque()"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Model(), {"name": "m"}),
        (Thing("t"), {"name": "t"}),
        (Thing("\ud800"), {"name": "\ufffd"}),
        (Thing(Thing(2**70)), {"name": {"name": str(2**70)}}),
        (Pair(1, 2), {"left": 1, "right": 2}),
        (Pair("\ud800", 2), {"left": "\ufffd", "right": 2}),
        ({1: 2, None: 3, Colour.RED: 4}, {"1": 2, "null": 3, "red": 4}),
        ({("a", 1): 2}, {"('a', 1)": 2}),
        ({1, }, [1]),
        (deque([1]), [1]),
        ([float("nan"), float("inf")], [None, None]),
        (np.float32(0.5), 0.5),
        (np.array([1, 2]), [1, 2]),
        (Decimal("1.50"), 1.5),
        (Decimal("3"), 3),
        (Decimal("NaN"), None),
        (timedelta(seconds=1.5), 1.5),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
        (b"\x00\xff", "AP8="),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (ipaddress.ip_address("::1"), "::1"),
        (re.compile("a+"), "a+"),
        (ValueError("v"), {"error": "ValueError", "message": "v"}),
        (Send("node", {"a": 1}), {"node": "node", "input": {"a": 1}}),
        (Interrupt("v", id="i"), {"value": "v", "id": "i", "response_schema": None}),
        (Opaque(), None),
        (Opaque, None),
        (BaseModel, None),
        (PurePosixPath("/a"), None),
        ("\x00", "\x00"),
        ("\ud83d", "\ufffd"),
        ([2**64, -(2**64)], [str(2**64), str(-(2**64))]),
        (UTC, "UTC"),
    ],
    ids=str,
)  # fmt: skip
def test_values_have_a_form(value: Any, shown: Any) -> None:
    assert orjson.loads(dumps(value)) == shown


def test_messages_look_as_the_sdk_reads_them() -> None:
    shown = orjson.loads(dumps(AIMessage("hi", id="1")))
    assert shown.items() >= {"type": "ai", "content": "hi", "id": "1", "additional_kwargs": {}}.items()


def test_a_cycle_ends() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    assert dumps(cycle).startswith(b"[[[")
    own: dict[str, Any] = {}
    own["self"] = own
    assert dumps({"a": own})


TEXT = st.text(st.characters(exclude_categories=()))
LEAF = st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.binary()


def nested(inner: Any) -> Any:
    return st.lists(inner) | st.dictionaries(TEXT, inner) | st.tuples(inner, inner) | st.builds(Thing, inner)


JSON = st.recursive(LEAF, nested, max_leaves=20)


@given(value=JSON)
def test_whatever_stands_in_a_state_becomes_json(value: Any) -> None:
    orjson.loads(dumps(value))


@given(header=st.dictionaries(st.text(), st.integers(0, 9)), body=st.binary(max_size=300), cut=st.integers(1, 50))
async def test_frames_arrive_whole_however_they_are_cut(header: dict[str, int], body: bytes, cut: int) -> None:
    reader = asyncio.StreamReader()
    data = pack(header, body) * 2
    for start in range(0, len(data), cut):
        reader.feed_data(data[start : start + cut])
    reader.feed_eof()
    assert [await unpack(reader), await unpack(reader)] == [(header, body)] * 2
    with pytest.raises(EOFError):
        await unpack(reader)


async def test_a_torn_or_mad_frame_is_the_end() -> None:
    for data in (pack({}, b"x" * 10)[:-1], struct.pack("!II", LARGEST, 1) + b"x"):
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        with pytest.raises(EOFError):
            await unpack(reader)


async def test_a_window_holds_what_was_not_read() -> None:
    window = Window(10)
    await window.take(25)
    waiting = asyncio.create_task(window.take(1))
    await asyncio.sleep(0)
    window.give(15)
    await asyncio.sleep(0)
    assert not waiting.done()
    window.give(5)
    await asyncio.wait_for(waiting, 1)
