"""Names that a caller gives: collections, and who may read."""

import unicodedata
from collections.abc import Sequence

from fiel.tools.errors import UsageError
from fiel.tools.principal import ROLES

_MOST = 200


def checked_collection(name: str) -> str:
    """`name`, if a collection may be called so. Raises UsageError."""
    return _plain(name, "collection")


def checked_readers(names: Sequence[str]) -> tuple[str, ...]:
    """Grants as they stand in an ACL: groups, `everyone`, `user:ID`, `role:ROLE`. Raises UsageError."""
    for name in names:
        _plain(name, "group")
        kind, colon, rest = name.partition(":")
        if colon and not (kind == "user" and rest) and not (kind == "role" and rest in ROLES):
            raise UsageError(
                f"{name!r} is no group", hint=f"A group, `everyone`, user:ID, or role:… with one of {', '.join(ROLES)}"
            )
    return tuple(names)


def _plain(name: str, what: str) -> str:
    if not name or name != name.strip() or len(name) > _MOST or not _visible(name):
        raise UsageError(
            f"{name[:_MOST]!r} is no name for a {what}",
            hint=f"1 to {_MOST} characters, no control characters, no space at either end",
        )
    return name


def _visible(name: str) -> bool:
    return all(unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp") for character in name)
