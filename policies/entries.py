"""The checks of a bundle as its file configures them, and what a bundle that extends another may change in them."""

from dataclasses import fields
from itertools import pairwise
from typing import Any, Literal

from fiel.policies.bundled import Entry
from fiel.policies.checks import CHECKS, Check
from fiel.policies.located import Located
from fiel.policies.rules import SEVERITY, Band
from fiel.policies.types import STAGES
from fiel.tools.principal import ROLES

ACTIONS: tuple[Literal["flag", "replace", "redact", "review", "block"], ...] = (
    "flag", "replace", "redact", "review", "block",
)  # fmt: skip
DEFAULT_THRESHOLD = 0.5


def entries_of(located: Located | None, base: tuple[Entry, ...], limit: int) -> tuple[Entry, ...]:
    """The entries of a bundle: those of the bundle that it extends, tightened and added to. Raises PolicyError."""
    found = {entry.id: entry for entry in base}
    mine: set[str] = set()
    for item in located.items() if located else ():
        entry = entry_of(item, limit)
        if entry.id in mine:
            raise item.error(f"the id {entry.id!r} stands twice", "Give one of the entries another `id`")
        mine.add(entry.id)
        if entry.id in found:
            must_tighten(item, entry, found[entry.id])
        found[entry.id] = entry
    return tuple(found.values())


def entry_of(located: Located, limit: int) -> Entry:
    """One entry; `limit` is its time limit in milliseconds where it names none. Raises PolicyError."""
    keys = located.mapping("check", "id", "stages", "limit_ms", "with")
    for key in ("check", "stages"):
        if key not in keys:
            raise located.error(f"the key {key!r} is missing")
    kind = keys["check"].among(tuple(CHECKS))
    identity = keys["id"].text() if "id" in keys else kind
    stages = keys["stages"].mapping(*STAGES)
    if not stages:
        raise keys["stages"].error("names no stage")
    bands = {stage: _bands(stages[stage]) for stage in STAGES if stage in stages}
    if "limit_ms" in keys:
        limit = int(keys["limit_ms"].number(1, 600_000))
    return Entry(identity, _configured(CHECKS[kind], keys.get("with")), bands, limit)


def _bands(located: Located) -> tuple[Band, ...]:
    """`block`, or `{flag: 0.4, block: 0.8}`."""
    if isinstance(located.value, str):
        action = located.among(ACTIONS)
        return (Band(DEFAULT_THRESHOLD, action),)  # type: ignore[arg-type]
    given = located.mapping(*ACTIONS)
    bands = [Band(given[action].number(0.000001, 1), action) for action in ACTIONS if action in given]
    if not bands:
        raise located.error("names no action", f"Actions: {', '.join(ACTIONS)}")
    if any(a.threshold >= b.threshold for a, b in pairwise(bands)):
        raise located.error("a more severe action needs a higher threshold")
    return tuple(bands)


def _configured(kind: type[Check], located: Located | None) -> Check:
    specs = {spec.name: spec for spec in fields(kind)}
    values: dict[str, Any] = {}
    given = located.mapping(*specs) if located else {}
    if given and not specs:
        raise located.error("this check has no parameters")  # type: ignore[union-attr]
    for name, item in given.items():
        default, known = specs[name].default, specs[name].metadata["known"]
        if isinstance(default, tuple):
            values[name] = tuple(x.among(known) if known else x.text() for x in item.items())
        else:
            number = item.number(1, 2**31)
            if number != int(number):
                raise item.error("must be a whole number")
            values[name] = int(number)
    return kind(**values)


def restore_of(located: Located | None, base: tuple[str, ...], inherited: tuple[Entry, ...]) -> tuple[str, ...]:
    """Roles whose callers see again what placeholders stand for; those of the base where nothing is said.

    Where the bundle that this extends replaces something, no role can be added to its own. Raises PolicyError.
    """
    if located is None:
        return base
    roles = tuple(item.among(ROLES) for item in located.items())
    replacing = any(
        band.action == "replace" for entry in inherited for bands in entry.stages.values() for band in bands
    )
    beyond = sorted(set(roles) - set(base)) if replacing else []
    if beyond:
        raise located.error(
            f"the bundle that this extends puts nothing back for {', '.join(beyond)}",
            "A bundle that extends another can only tighten it",
        )
    return roles


def must_tighten(located: Located, entry: Entry, base: Entry) -> None:
    """Raises PolicyError where `entry` is laxer than `base` in a parameter, a threshold or an action."""
    hint = "A bundle that extends another can only tighten it"
    if type(entry.check) is not type(base.check):
        raise located.error(f"the id {entry.id!r} is another check in the bundle that this extends", hint)
    looser = entry.check.loosens(base.check)
    if looser is not None:
        raise located.error(f"with.{looser} is laxer than in the bundle that this extends", hint)
    for stage, bands in base.stages.items():
        for band in bands:
            if not any(
                mine.threshold <= band.threshold and SEVERITY[mine.action] >= SEVERITY[band.action]
                for mine in entry.stages.get(stage, ())
            ):
                raise located.error(
                    f"{stage}: {band.action} from {band.threshold:g} on is missing or laxer than in the bundle that "
                    "this extends",
                    hint,
                )
