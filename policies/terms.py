"""The terms of a review: who decides what a bundle keeps back for a person, how long they have, and who may not."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fiel.tools.canonical import score
from fiel.tools.principal import ROLES, Role

if TYPE_CHECKING:
    from fiel.policies.located import Located

KEYS = ("roles", "hours", "self")
MOST_HOURS = 8_760.0


@dataclass(frozen=True, slots=True)
class Terms:
    """What a bundle says about its reviews; None where it says nothing, so that the settings hold."""

    roles: frozenset[Role] | None = None
    """Who may decide; empty: nobody, so that what wants a review is refused."""
    hours: float | None = None
    own: bool | None = None
    """Whether who asked may decide about it."""

    def and_those(self, other: "Terms") -> "Terms":
        """The terms that are as strict as both: roles of both, the shorter time, who asked only where both let them."""
        roles = (
            self.roles & other.roles
            if self.roles is not None and other.roles is not None
            else self.roles
            if other.roles is None
            else other.roles
        )
        hours = [one.hours for one in (self, other) if one.hours is not None]
        own = [one.own for one in (self, other) if one.own is not None]
        return Terms(roles, min(hours) if hours else None, all(own) if own else None)

    def plain(self) -> dict[str, Any]:
        """As JSON values, in the words of the file; only what is said."""
        said = {
            "roles": None if self.roles is None else [role for role in ROLES if role in self.roles],
            "hours": self.hours,
            "self": self.own,
        }
        return {name: value for name, value in said.items() if value is not None}

    def canonical(self) -> dict[str, Any]:
        """As they enter a version: numbers as decimal strings."""
        return {**self.plain(), **({} if self.hours is None else {"hours": score(self.hours)})}


SILENT = Terms()
"""Of a bundle that says nothing about reviews."""
_ONLY = "A bundle that extends another can only tighten it"


def terms_of(located: "Located | None", base: Terms, *, alone: bool) -> Terms:
    """The terms of a bundle or an override; `base` are those of the bundle that it extends or is part of.

    What the base says can only be tightened. `alone`: there is no such bundle, so that who asked may be let decide.
    Raises PolicyError.
    """
    if located is None:
        return base
    keys = located.mapping(*KEYS)
    if not keys:
        raise located.error("says nothing", f"Known keys: {', '.join(KEYS)}")
    roles: frozenset[Role] | None = None
    if "roles" in keys:
        roles = frozenset(role for item in keys["roles"].items() for role in ROLES if role == item.among(ROLES))
        if not roles:
            raise keys["roles"].error("names nobody who could decide")
        if base.roles is not None and not roles <= base.roles:
            raise keys["roles"].error("names roles that the bundle that this extends does not name", _ONLY)
    hours = keys["hours"].number(0.01, MOST_HOURS) if "hours" in keys else None
    if hours is not None and base.hours is not None and hours > base.hours:
        raise keys["hours"].error("is longer than in the bundle that this extends", _ONLY)
    own = keys["self"].boolean() if "self" in keys else None
    if own and not (alone or base.own):
        raise keys["self"].error("the bundle that this extends does not let who asked decide", _ONLY)
    return base.and_those(Terms(roles, hours, own))
