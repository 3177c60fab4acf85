"""What a check is: a small pure class, configured by a bundle, that looks at texts and says what it found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

from fiel.policies.types import Span

Tighter = Literal["lower", "superset", "fewer", "equal"]
"""How a bundle that extends another may change a parameter: lower it, add to it, take from it (where an empty list
means that everything passes, so that a first list tightens and none loosens), or not at all."""


def parameter(default: Any, meaning: str, *, tighter: Tighter = "equal", known: Sequence[str] = ()) -> Any:
    """A field of a check: its default, its meaning, the direction that tightens, and for lists the values there are."""
    return field(default=default, metadata={"meaning": meaning, "tighter": tighter, "known": tuple(known)})


@dataclass(frozen=True, slots=True)
class Found:
    """What a check found: one score a part, 0 to 1, and where."""

    scores: tuple[float, ...]
    spans: tuple[Span, ...] = ()
    reason: str = ""
    """Set where a check has more than one reason; empty: the check's own."""


@dataclass(frozen=True, slots=True)
class Check:
    """Base of every check. Subclasses are frozen dataclasses whose fields are the parameters a bundle sets."""

    name: ClassVar[str]
    reason: ClassVar[str]
    """Reason code of its verdicts."""
    masks: ClassVar[bool] = False
    """What it finds is masked in spans and logs, whatever its action is."""
    inline: ClassVar[bool] = False
    """Its time is linear in the text with a small factor (held by the contract suite), so that short texts are judged
    on the event loop. Every other check runs in a thread under its time limit."""
    modules: ClassVar[tuple[str, ...]] = ()
    """Further modules, beside its own, whose source decides what it finds; their hashes enter the bundle's version."""

    heads: ClassVar[tuple[str, ...]] = ()
    """Heads that it uses (`fiel.policies.heads`); the hashes of their files enter the bundle's version."""

    def prepare(self) -> None:
        """Load what the check needs: called before its bundle decides, so that no text waits for a model."""

    def run(self, parts: Sequence[str], facts: Mapping[str, Any]) -> Found:
        """Look at `parts`. Must neither change them nor raise for what they contain."""
        raise NotImplementedError

    def parameters(self) -> dict[str, Any]:
        """Parameters as canonical JSON values."""
        values = {spec.name: getattr(self, spec.name) for spec in fields(self)}
        return {name: sorted(value) if isinstance(value, tuple) else value for name, value in values.items()}

    def loosens(self, other: "Check") -> str | None:
        """Name of a parameter in which this check is laxer than `other` (same class), or None."""
        for spec in fields(self):
            mine, theirs = getattr(self, spec.name), getattr(other, spec.name)
            rule: Tighter = spec.metadata["tighter"]
            fine = (
                mine == theirs
                or (rule == "lower" and mine <= theirs)
                or (rule == "superset" and set(mine) >= set(theirs))
                or (rule == "fewer" and (not theirs or (mine and set(mine) <= set(theirs))))
            )
            if not fine:
                return spec.name
        return None


def nothing(parts: Sequence[str]) -> Found:
    """Nothing found in any of `parts`."""
    return Found((0.0,) * len(parts))


def marked(parts: Sequence[str], spans: Sequence[Span], reason: str = "") -> Found:
    """Score 1 for each part that has a span, 0 for the others."""
    hit = {span.part for span in spans}
    return Found(tuple(1.0 if part in hit else 0.0 for part in range(len(parts))), tuple(spans), reason)
