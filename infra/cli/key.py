"""`fiel key`: the master key that wraps every data key."""

import click

from fiel.infra.callers import TENANT
from fiel.infra.cli.command import command
from fiel.infra.cli.output import Result
from fiel.infra.settings import Settings
from fiel.tools.principal import local_administrator


@click.group("key")
def key() -> None:
    """Rotate the master key of the ledger."""


@command("rotate", key)
async def rotate(settings: Settings) -> Result:
    """Use a new master key from now on; the old ones stay in the key file and readable. Interrupted, it goes on.

    With FIEL_KMS every data key is wrapped by the key of that service.
    """
    from dataclasses import asdict

    from fiel.infra.compose import cipher
    from fiel.infra.database.open import open_database
    from fiel.infra.ledger.keys import KEY_FILE, load_or_create
    from fiel.infra.ledger.rotation import move
    from fiel.infra.ledger.rotation import rotate as rotated

    file = settings.folder / KEY_FILE
    load_or_create(file)
    async with open_database(settings, size=2) as database:
        by = local_administrator(TENANT)
        done = await (move(database, by, cipher(settings)) if settings.kms else rotated(database, by, file))
    how = "an interrupted rotation was finished" if done.resumed else "a new key is used"
    line = f"{how}: {done.key}; {done.wrapped} data keys wrapped anew. Back up {file}, and restart services that run"
    return Result(asdict(done), lambda: click.echo(line))
