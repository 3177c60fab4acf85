"""`fiel settings`: every setting with its value, default and meaning."""

import re
from dataclasses import fields
from typing import Any

from fiel.infra.cli.command import command
from fiel.infra.cli.output import Result
from fiel.infra.settings import PREFIX, Settings

HIDDEN = "********"
_PASSWORD = re.compile(r"(?<=://)([^:/@\s]*):.*@")


def listing(settings: Settings) -> list[dict[str, Any]]:
    """One row a setting, in the order of the class. Secrets are hidden, passwords in addresses too."""
    return [
        {
            "name": spec.name,
            "environment": PREFIX + spec.name.upper(),
            "value": _shown(getattr(settings, spec.name), secret=spec.metadata["secret"]),
            "default": spec.default,
            "meaning": spec.metadata["meaning"],
        }
        for spec in fields(settings)
    ]


def _shown(value: Any, *, secret: bool) -> Any:
    if not isinstance(value, str) or not value:
        return value
    if secret:
        return HIDDEN
    return _PASSWORD.sub(rf"\1:{HIDDEN}@", value)


@command("settings")
def settings(settings: Settings) -> Result:
    """List every setting: value, default, meaning.

    Settings come from the environment (FIEL_CHAT=…) over the file fiel.toml in the working folder (chat = "…") over
    the defaults. An unknown one is an error.
    """
    rows = listing(settings)
    return Result(rows, lambda: _show(rows))


def _show(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("setting", "value", "default", "meaning"):
        table.add_column(title, overflow="fold")
    for row in rows:
        changed = row["value"] != row["default"]
        value = escape(str(row["value"])) or "–"
        shown = f"[bold]{value}[/bold]" if changed else value
        table.add_row(row["environment"], shown, str(row["default"]) or "–", escape(row["meaning"]))
    Console().print(table)
