"""Who calls: the principal that authentication has put into a run's config."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fiel.tools.errors import FielError, UsageError
from fiel.tools.principal import EVERYONE, Principal, local_administrator

TENANT = "default"
"""Tenant of the local administrator, and of whoever he speaks for."""
KEY = "fiel_principal"
"""Where the principal stands in `config["configurable"]`: an object, so nothing that a client sends can be it."""


RUN = "fiel_run"
"""Where the id of the service's run stands, beside the principal; no client can set it."""


class NotAuthenticated(FielError):
    """Nobody is authenticated."""

    code = "not_authenticated"


@dataclass(frozen=True, slots=True)
class ConfigCallers:
    """Takes the principal from the config."""

    anonymous: Principal | None = None
    """Who calls where nobody is authenticated: the local administrator under `FIEL_AUTH=none`, else nobody."""

    def principal(self, config: Mapping[str, Any]) -> Principal:
        """The caller. Raises NotAuthenticated."""
        value = config.get("configurable", {}).get(KEY)
        if isinstance(value, Principal):
            return value
        if self.anonymous is not None:
            return self.anonymous
        raise NotAuthenticated("nobody is authenticated", hint="Set FIEL_AUTH=none to be the local administrator")


def principal_of(as_user: str | None, groups: Sequence[str]) -> Principal:
    """Whom the owner of the home folder speaks for: the local administrator, or a reader of that name in those groups.

    Raises UsageError for groups without a user and for names that are reserved.
    """
    if as_user is None:
        if groups:
            raise UsageError("--group needs --as: the local administrator reads everything", where="--group")
        return local_administrator(TENANT)
    if not as_user.strip() or "\0" in as_user:
        raise UsageError("a user needs a name", where="--as")
    return Principal(TENANT, as_user, frozenset(group_name(group) for group in groups), frozenset({"reader"}))


def group_name(name: str) -> str:
    """`name`, if a group may be called so. Raises UsageError: a colon marks the reserved names of users and roles."""
    if not name.strip() or ":" in name or "\0" in name:
        raise UsageError(
            f"{name!r} is no name for a group", where="group", hint=f"Use a name like finance or {EVERYONE}"
        )
    return name
