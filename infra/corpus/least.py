"""The least bundle of a collection: what any run over it must use, whatever its caller asks for."""

from fiel.infra.corpus.names import checked_collection
from fiel.infra.database.connect import Database
from fiel.infra.ledger.acts import Act, record
from fiel.tools.errors import CollectionNotFound, NotPermitted
from fiel.tools.principal import Principal
from fiel.tools.sql import load


async def require_policy(database: Database, principal: Principal, collection: str, bundle: str) -> None:
    """Let every later run over `collection` use `bundle` or one that extends it; empty: demand nothing.

    The name of the bundle is not looked up here: whoever calls has loaded it. Raises NotPermitted, CollectionNotFound,
    DatabaseUnavailable.
    """
    if not principal.may("curator", "administrator"):
        raise NotPermitted("only curators and administrators may set a collection's policy", hint="Ask for that role")
    query = load(__package__, "corpus.sql")["require_policy"].encode()
    async with database.acting(principal) as connection:
        cursor = await connection.execute(query, {"policy": bundle, "name": checked_collection(collection)})
        if await cursor.fetchone() is None:
            raise CollectionNotFound(f"there is no collection {collection!r} that you may read", where="--collection")
        await record(connection, Act(principal, "policy_change", collection, {"least": bundle}))
