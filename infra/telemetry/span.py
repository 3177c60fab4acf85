"""A span that costs little: OpenTelemetry's interface, without the SDK's locks, limits and copies.

It is a real `opentelemetry.trace.Span`, so context propagation, `get_current_span` and other instrumentations see it.
Nothing changes it once it has ended, so that it can be written later, and in another thread.
"""

import time
from collections.abc import Callable, Mapping
from random import getrandbits
from typing import Any

from opentelemetry.trace import Span, SpanContext, Status, StatusCode, TraceFlags

from fiel.infra.telemetry import otlp

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


def root_of(run: str) -> int:
    """Id of a run's root span: fixed, so that whoever closes the run, in whichever process, writes the same span."""
    return int(run.replace("-", "")[-16:], 16) or 1


class HopSpan(Span):
    """One span of a run; `end` hands it to `sink`."""

    __slots__ = ("_context", "_end", "_sink", "error", "later", "name", "parent", "start", "values")

    def __init__(
        self, name: str, trace: int, parent: int, sink: Callable[["HopSpan"], None], *, id: int = 0, start: int = 0
    ) -> None:
        own = id or getrandbits(64) or 1
        self._context = SpanContext(trace, own, False, _SAMPLED)
        self._sink = sink
        self._end = 0
        self.name = name
        self.parent = parent
        self.start = start or time.time_ns()
        self.values: dict[str, otlp.Value] = {}
        self.later: Callable[[], Mapping[str, otlp.Value]] | None = None
        """Gives more values when the span is written: the same each time, whatever has happened meanwhile."""
        self.error: str | None = None

    def get_span_context(self) -> SpanContext:
        return self._context

    def set_attribute(self, key: str, value: Any) -> None:
        if not self._end:
            self.values[key] = value if isinstance(value, str | bool | int | float) else str(value)

    def set_attributes(self, attributes: Any) -> None:
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def add_event(self, name: str, attributes: Any = None, timestamp: int | None = None) -> None:
        """Events are not kept: their texts come from libraries, which nobody has redacted."""

    def update_name(self, name: str) -> None:
        if not self._end:
            self.name = name

    def is_recording(self) -> bool:
        return not self._end

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        code = status.status_code if isinstance(status, Status) else status
        if not self._end:
            self.error = "error" if code is StatusCode.ERROR else None

    def record_exception(
        self, exception: BaseException, attributes: Any = None, timestamp: int | None = None, escaped: bool = False
    ) -> None:
        """The error's code alone: messages of exceptions quote users."""
        if not self._end:
            self.error = str(getattr(exception, "code", type(exception).__name__))

    def end(self, end_time: int | None = None) -> None:
        if self._end:
            return
        self._end = end_time or time.time_ns()
        self._sink(self)

    def written(self) -> bytes:
        """A span that has ended, in OpenTelemetry's wire form."""
        values = self.values if self.later is None else {**self.values, **self.later()}
        return otlp.span(
            trace=self._context.trace_id.to_bytes(16, "big"),
            id=self._context.span_id.to_bytes(8, "big"),
            parent=self.parent.to_bytes(8, "big") if self.parent else b"",
            name=self.name,
            start=self.start,
            end=self._end,
            values=dict(sorted(values.items())),  # as whoever compares it will have them
            error=self.error,
        )
