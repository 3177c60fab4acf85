"""Named queries: SQL lives in files, and each query in a file stands under a heading of its own.

    -- name: recent_runs
    SELECT …

`load(package, "queries.sql")["recent_runs"]` is the text below that heading, up to the next one.
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

_HEADING = re.compile(r"^--[ \t]*name:[ \t]*([^\n]*?)[ \t]*$", re.MULTILINE)
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def parse(text: str, where: str = "") -> dict[str, str]:
    """Queries of `text` by name. Raises ValueError for a bad or repeated name, an empty query, and text before one."""
    first, *parts = _HEADING.split(text)
    stray = [line for line in first.splitlines() if line.strip() and not line.lstrip().startswith("--")]
    if stray:
        raise ValueError(f"{where}: {stray[0]!r} stands before the first `-- name:` heading")
    queries: dict[str, str] = {}
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        if not _NAME.fullmatch(name):
            raise ValueError(f"{where}: {name!r} is no name for a query (a-z, 0-9, _)")
        if name in queries:
            raise ValueError(f"{where}: two queries are named {name}")
        if not body.strip():
            raise ValueError(f"{where}: the query {name} is empty")
        queries[name] = body.strip()
    return queries


_PARAMETER = re.compile(r"%\((\w+)\)s")


def numbered(query: str) -> tuple[bytes, tuple[str, ...]]:
    """`query` with its `%(name)s` as $1, $2, …, in the order of their first mention, and those names.

    A driver converts the named form anew with every call where the text is long.
    """
    names = tuple(dict.fromkeys(_PARAMETER.findall(query)))
    places = {name: f"${place}" for place, name in enumerate(names, 1)}
    return _PARAMETER.sub(lambda match: places[match[1]], query).replace("%%", "%").encode(), names


@cache
def positional(query: str) -> bytes:
    """`query` with its `%s` as $1, $2, …, in order. For queries of libraries: there are few of them."""
    first, *rest = query.split("%s")
    return "".join([first, *(f"${place}{text}" for place, text in enumerate(rest, 1))]).replace("%%", "%").encode()


@cache
def load(package: str, file: str) -> Mapping[str, str]:
    """Queries of `file` in `package` by name, read once a process. Raises ValueError as `parse` does."""
    return MappingProxyType(parse(files(package).joinpath(file).read_text(encoding="utf-8"), f"{package}/{file}"))
