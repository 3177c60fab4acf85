"""The authenticated user as hosted graphs know them: object and mapping at once, as LangGraph's servers give it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


class User(Mapping[str, Any]):
    """`user["identity"]`, `user.identity`, and whatever else authentication found out."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._facts = {"is_authenticated": True, "permissions": [], **facts}
        self._facts.setdefault("display_name", self._facts.get("identity", ""))

    @property
    def identity(self) -> str:
        return str(self._facts.get("identity", ""))

    @property
    def display_name(self) -> str:
        return str(self._facts["display_name"])

    @property
    def is_authenticated(self) -> bool:
        return bool(self._facts["is_authenticated"])

    @property
    def permissions(self) -> Sequence[str]:
        return list(self._facts["permissions"])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # while it is copied there are no facts yet
            raise AttributeError(name)
        try:
            return self._facts[name]
        except KeyError as error:
            raise AttributeError(name) from error

    def __getitem__(self, key: str) -> Any:
        return self._facts[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._facts)

    def __len__(self) -> int:
        return len(self._facts)


def configured(user: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in `configurable` for this user; nothing where nobody is authenticated."""
    if not user:
        return {}
    known = User(user)
    return {
        "langgraph_auth_user": known,
        "langgraph_auth_user_id": known.identity,
        "langgraph_auth_permissions": known.permissions,
    }
