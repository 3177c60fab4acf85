"""Names that a caller gives: collections, and who may read."""

import re
import unicodedata
from collections.abc import Sequence

from fiel.tools.errors import UsageError
from fiel.tools.principal import EVERYONE, ROLES, local_administrator

_MOST = 200
_LICENCE = re.compile(r"[A-Za-z0-9.+:()-]+(?: [A-Za-z0-9.+:()-]+)*")


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


def checked_group(name: str) -> str:
    """`name`, if a group may be kept under it. Raises UsageError."""
    if ":" in _plain(name, "group") or name == EVERYONE:
        raise UsageError(f"{name!r} is no name for a group", hint="A colon marks names of users and roles")
    return name


def checked_user(name: str) -> str:
    """`name`, if a user may be kept under it. Raises UsageError."""
    if _plain(name, "user") == local_administrator().id:
        raise UsageError(f"{name!r} is the local administrator", hint="Choose another name")
    return name


def checked_licence(licence: str) -> str:
    """`licence`, if it is an SPDX identifier or expression (or empty: not known). Raises UsageError."""
    if licence and (len(licence) > _MOST or not _LICENCE.fullmatch(licence)):
        raise UsageError(
            f"{licence[:_MOST]!r} is no SPDX identifier or expression",
            hint="For example CC-BY-4.0, `MIT OR Apache-2.0`, or LicenseRef-NAME for one of your own",
        )
    return licence


def _plain(name: str, what: str) -> str:
    if not name or name != name.strip() or len(name) > _MOST or not _visible(name):
        raise UsageError(
            f"{name[:_MOST]!r} is no name for a {what}",
            hint=f"1 to {_MOST} characters, no control characters, no space at either end",
        )
    return name


def _visible(name: str) -> bool:
    return all(unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp") for character in name)
