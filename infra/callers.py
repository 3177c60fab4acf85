"""Who calls: the principal that authentication has put into a run's config."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fiel.tools.errors import FielError
from fiel.tools.principal import Principal

KEY = "fiel_principal"
"""Where the principal stands in `config["configurable"]`: an object, so nothing that a client sends can be it."""


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
