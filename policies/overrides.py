"""Overrides: what a bundle does otherwise for some collections or some roles.

An override only tightens, with one exception: one for roles may relax a check that the bundle marks as `relaxable` for
each of them. Where several apply, whatever tightens comes first, and nothing relaxes a check that something tightens.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from fiel.policies.located import Located
from fiel.policies.terms import SILENT, Terms, terms_of
from fiel.tools.errors import PolicyError
from fiel.tools.principal import ROLES

if TYPE_CHECKING:
    from fiel.policies.bundled import Entry, Example

KEYS = ("id", "collections", "roles", "checks", "messages", "examples", "review")
MARK = ":"
"""Stands between the name of a bundle and the ids of the overrides of a variant; no bundle's name has one."""


@dataclass(frozen=True, slots=True)
class Override:
    """Entries that take the place of the bundle's, for collections or for roles."""

    id: str
    collections: tuple[str, ...]
    """Names, `*` for anything in them; empty: `roles` says whom it is for."""
    roles: tuple[str, ...]
    tightening: tuple["Entry", ...]
    relaxing: tuple["Entry", ...]
    messages: Mapping[str, Mapping[str, str]]
    review: Terms = SILENT
    examples: tuple["Example", ...] = ()
    """What the bundle that wrote it must decide with it alone; a bundle that extends that one need not."""

    def applies(self, collection: str, roles: Collection[str]) -> bool:
        """Whether it holds for a run over `collection` by a caller with `roles`."""
        return any(fnmatchcase(collection, name) for name in self.collections) or any(r in roles for r in self.roles)

    def within(self, marked: Mapping[str, tuple[str, ...]]) -> "Override":
        """The override as a bundle inherits it: without examples, and without what it relaxes beyond `marked`."""
        kept = tuple(entry for entry in self.relaxing if set(self.roles) <= set(marked.get(entry.id, ())))
        return replace(self, relaxing=kept, examples=())


def combined(entries: Iterable["Entry"], overrides: Sequence[Override]) -> tuple["Entry", ...]:
    """The entries of a variant. Where two overrides tighten one check, both run, so that the stricter one decides."""
    found = {entry.id: entry for entry in entries}
    touched: set[str] = set()
    for override in overrides:
        for entry in override.tightening:
            name = f"{entry.id}{MARK}{override.id}" if entry.id in touched else entry.id
            found[name] = replace(entry, id=name)
            touched.add(entry.id)
    for override in overrides:
        for entry in override.relaxing:
            if entry.id not in touched:
                found[entry.id] = entry
                touched.add(entry.id)
    return tuple(found.values())


def relaxable(
    located: Located | None, entries: Mapping[str, "Entry"], base: Mapping[str, tuple[str, ...]] | None, own: set[str]
) -> dict[str, tuple[str, ...]]:
    """Check to the roles for which an override may relax it. What a base does not mark cannot be marked.

    `own`: ids of checks that the base does not have. Raises PolicyError.
    """
    if located is None:
        return dict(base or {})
    found: dict[str, tuple[str, ...]] = {}
    for name, item in located.mapping().items():
        if name not in entries:
            raise item.error(f"there is no check {name!r} in the bundle", f"There are: {', '.join(entries)}")
        roles = tuple(role.among(ROLES) for role in item.items())
        beyond = [role for role in roles if base is not None and name not in own and role not in base.get(name, ())]
        if beyond:
            raise item.error(
                f"the bundle that this extends lets nobody relax it for {', '.join(beyond)}",
                "A bundle that extends another can only tighten it",
            )
        found[name] = roles
    return found


def parse(
    located: Located,
    entries: Mapping[str, "Entry"],
    marked: Mapping[str, tuple[str, ...]],
    entry_of: Callable[[Located], "Entry"],
    must_tighten: Callable[[Located, "Entry", "Entry"], None],
    messages: Mapping[str, Mapping[str, str]],
    examples: tuple["Example", ...],
    review: Terms,
) -> Override:
    """One override; `marked` says which checks may be relaxed for whom, `review` are the terms of the bundle.

    Raises PolicyError.
    """
    keys = located.mapping(*KEYS)
    if "id" not in keys:
        raise located.error("the key 'id' is missing")
    name = keys["id"].text()
    if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii():
        raise keys["id"].error("must consist of letters, digits, - and _")
    if ("collections" in keys) == ("roles" in keys):
        raise located.error("must name either `collections` or `roles`")
    collections = keys["collections"].texts() if "collections" in keys else ()
    roles = tuple(role.among(ROLES) for role in keys["roles"].items()) if "roles" in keys else ()
    if not collections and not roles:
        raise located.error("holds for nobody", "Name at least one collection or role")
    own = terms_of(keys["review"], review, alone=False) if "review" in keys else SILENT
    tightening, relaxing = [], []
    seen: set[str] = set()
    for item in keys["checks"].items() if "checks" in keys else ():
        entry = entry_of(item)
        if entry.id in seen:
            raise item.error(f"the id {entry.id!r} stands twice")
        seen.add(entry.id)
        try:
            if entry.id in entries:
                must_tighten(item, entry, entries[entry.id])
            tightening.append(entry)
        except PolicyError:
            same = type(entry.check) is type(entries[entry.id].check)
            if not roles or not same or not set(roles) <= set(marked.get(entry.id, ())):
                raise
            relaxing.append(entry)
    return Override(name, collections, roles, tuple(tightening), tuple(relaxing), messages, own, examples)


def canonical(override: Override, entry: Callable[["Entry"], Any]) -> dict[str, Any]:
    """The override as it enters the bundle's version."""
    return {
        "id": override.id,
        "collections": list(override.collections),
        "roles": list(override.roles),
        "tightening": [entry(one) for one in override.tightening],
        "relaxing": [entry(one) for one in override.relaxing],
        "messages": {language: dict(words) for language, words in override.messages.items()},
        "review": override.review.canonical(),
    }
