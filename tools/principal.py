"""Who asks. A principal comes from authentication alone, never from state or from what a client sends."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["reader", "curator", "developer", "auditor", "administrator"]
ROLES: tuple[Role, ...] = ("reader", "curator", "developer", "auditor", "administrator")

EVERYONE = "everyone"
"""The group of every authenticated user of a tenant."""


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller: tenant, id, and what they belong to. The empty set of roles may nothing."""

    tenant: str
    id: str
    groups: frozenset[str] = frozenset()
    roles: frozenset[Role] = frozenset()

    def may(self, *roles: Role) -> bool:
        """Whether the caller holds at least one of `roles`."""
        return not self.roles.isdisjoint(roles)

    @property
    def sees_unreleased(self) -> bool:
        """Drafts, judgement sentences and verdict spans of runs that did not answer are for these roles alone."""
        return self.may("developer", "auditor")

    @property
    def grants(self) -> tuple[str, ...]:
        """Names in the ACL array that this caller matches, sorted: groups, `everyone`, `role:…`, `user:…`.

        Reserved names carry a colon, which the name of an ordinary group cannot.
        """
        if not self.roles:
            return ()
        return tuple(sorted({*self.groups, EVERYONE, f"user:{self.id}", *(f"role:{role}" for role in self.roles)}))


def local_administrator(tenant: str = "default") -> Principal:
    """The caller of the command line without `--as`, and of `FIEL_AUTH=none` on loopback."""
    return Principal(tenant=tenant, id="local", roles=frozenset(ROLES))


CURATORS: tuple[str, ...] = ("role:administrator", "role:curator")
"""Grants that every chunk carries: who curates a collection reads it."""
