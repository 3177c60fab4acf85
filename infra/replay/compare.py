"""Where two entries of the same hop differ, with both values."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Body = Mapping[str, Any]
Value = Callable[[str], Any]
"""Digest to what it stands for."""


def differences(then: Body, now: Body, value_then: Value, value_now: Value) -> list[dict[str, Any]]:
    """`{"what", "recorded", "replayed"}` for each fact that differs; times and hashes are not compared."""
    out = []
    for part in ("reads", "writes", "left"):
        one, other = then.get(part) or {}, now.get(part) or {}
        for channel in sorted({*one, *other}):
            a, b = one.get(channel), other.get(channel)
            if a != b:
                out += _values(f"{part}.{channel}", _read(a, value_then), _read(b, value_now))
    for part in ("hop", "attempt", "status", "edited", "gone", "decision", "effects"):
        a, b = then.get(part), now.get(part)
        if a != b and not (not a and not b) and not out:
            out += _values(part, a, b)
    return out


def _read(digest: str | None, value: Value) -> Any:
    return None if digest is None else value(digest)


def _values(what: str, then: Any, now: Any) -> list[dict[str, Any]]:
    found = list(paths(then, now, what))
    return [{"what": path, "recorded": a, "replayed": b} for path, a, b in found[:20]]


def paths(then: Any, now: Any, at: str) -> Iterator[tuple[str, Any, Any]]:
    """The innermost places where two JSON values differ: path, then, now."""
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for key in sorted({*then, *now}):
            yield from paths(then.get(key), now.get(key), f"{at}.{key}")
    elif isinstance(then, list) and isinstance(now, list):
        yield from _lists(then, now, at)
    elif then != now:
        yield at, then, now


def _lists(then: list[Any], now: list[Any], at: str) -> Iterator[tuple[str, Any, Any]]:
    """Item by item: by name where both sides hold other named things, by place where they are as long, else whole."""
    named_then, named_now = _named(then), _named(now)
    if named_then is not None and named_now is not None and [*named_then] != [*named_now]:
        for name in {**named_then, **named_now}:
            yield from paths(named_then.get(name), named_now.get(name), f"{at}[{name}]")
        before = [name for name in named_then if name in named_now]
        after = [name for name in named_now if name in named_then]
        if before != after:
            yield f"{at}[order]", before, after
    elif len(then) == len(now):
        for place, (a, b) in enumerate(zip(then, now, strict=True)):
            yield from paths(a, b, f"{at}[{place}]")
    else:
        yield at, then, now


_IDENTITIES = (("chunk",), ("stage", "check"))
"""What names a passage, and what a verdict."""


def _named(items: list[Any]) -> dict[str, Any] | None:
    """The items by name, in order; None where they have none, or one twice."""
    for fields in _IDENTITIES:
        if items and all(isinstance(item, Mapping) and all(field in item for field in fields) for item in items):
            named = {" ".join(str(item[field]) for field in fields): item for item in items}
            return named if len(named) == len(items) else None
    return None if items else {}


_NAMES_ONLY = re.compile(r"writes\.(versions\b.*|checked\.policy|policy)|writes\.(.*\.)?verdicts\[[^\]]*\]\.version")
"""Places that only say which version decided."""
_DIGEST = re.compile(r"[0-9a-f]{64}")


def consequences(then: Body, now: Body, value_then: Value, value_now: Value) -> Iterator[dict[str, Any]]:
    """`{"what", "recorded", "replayed"}` where a hop left something else; versions that are named do not count.

    A digest stands for what it is the digest of, where either side has kept that.
    """
    if then["status"] != now["status"]:
        yield {"what": "status", "recorded": then["status"], "replayed": now["status"]}
    one, other = then["writes"], now["writes"]
    for channel in sorted({*one, *other}):
        if one.get(channel) != other.get(channel):
            a, b = _read(one.get(channel), value_then), _read(other.get(channel), value_now)
            yield from _deep(a, b, f"writes.{channel}", value_then, value_now)


def _deep(then: Any, now: Any, at: str, value_then: Value, value_now: Value) -> Iterator[dict[str, Any]]:
    for path, a, b in paths(then, now, at):
        if _NAMES_ONLY.fullmatch(path):
            continue
        if _is_digest(a) and _is_digest(b):
            inner_a, inner_b = value_then(a), value_now(b)
            if inner_a is not None and inner_b is not None:
                yield from _deep(inner_a, inner_b, path, value_then, value_now)
                continue
        yield {"what": path, "recorded": a, "replayed": b}


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None
