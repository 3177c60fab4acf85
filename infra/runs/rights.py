"""What somebody may do at this moment who asked earlier: for runs that begin later, begin again, or go on.

A token of fiel's is looked up again. Of who came with a JWT, the newest token that was seen counts, with the groups and
roles that are kept here. Who came otherwise (through a handler of a `langgraph.json`, or as the local owner) is known
only by what was said then.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from fiel.infra.api.auth.tokens import Tokens
from fiel.infra.database.connect import Database
from fiel.infra.people.claims import Claims
from fiel.infra.runs.spec import Asker

Now = Callable[[Asker], Awaitable[Asker | None]]
"""Who asked, with the rights of this moment; None where they have none any more. Raises DatabaseUnavailable."""


class Rights:
    """Looks rights up in a database."""

    def __init__(self, database: Database) -> None:
        self._tokens = Tokens(database)
        self._claims = Claims(database)

    async def now(self, who: Asker) -> Asker | None:
        """See `Now`."""
        if who.kind == "token":
            principal = await self._tokens.now(who.credential)
        elif who.kind == "jwt":
            principal = await self._claims.now(who.principal)
        else:
            return who
        if principal is None or (principal.tenant, principal.id) != (who.principal.tenant, who.principal.id):
            return None
        return replace(who, principal=principal)
