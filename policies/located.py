"""YAML whose values remember their line, so that an error can say where it is.

Strict: no aliases, no tags, no double keys.
Only the JSON-like part of YAML is read: mappings with text keys, lists, texts, numbers, true and false.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from fiel.tools.errors import PolicyError

_MOST_BYTES = 1_000_000
_DEEPEST = 32
"""Lists and mappings within each other. The parser's time grows with the square of the depth."""


@dataclass(frozen=True, slots=True)
class Located:
    """A value of a YAML file with its place."""

    value: Any
    """str, int, float, bool, None, list of Located, or dict of text to Located."""
    path: str
    """Where in the value, e.g. `checks[2].stages`."""
    file: str
    line: int
    """From 1."""

    def error(self, what: str, hint: str = "") -> PolicyError:
        """The error to raise about this value."""
        name = f"{self.path}: " if self.path else ""
        return PolicyError(f"{name}{what}", where=f"{self.file}, line {self.line}", hint=hint)

    def mapping(self, *known: str) -> dict[str, "Located"]:
        """The value as a mapping whose keys are all among `known` (any, where none is named)."""
        if not isinstance(self.value, dict):
            raise self.error("must be a mapping")
        for key, item in self.value.items():
            if known and key not in known:
                raise item.error("unknown key", f"Known keys: {', '.join(known)}")
        return self.value

    def items(self) -> Iterator["Located"]:
        if not isinstance(self.value, list):
            raise self.error("must be a list")
        return iter(self.value)

    def text(self) -> str:
        if not isinstance(self.value, str) or not self.value.strip():
            raise self.error("must be a text that is not empty")
        return self.value

    def texts(self) -> tuple[str, ...]:
        return tuple(item.text() for item in self.items())

    def number(self, least: float, most: float) -> float:
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise self.error("must be a number")
        if not least <= self.value <= most:
            raise self.error(f"must lie between {least:g} and {most:g}")
        return float(self.value)

    def boolean(self) -> bool:
        if not isinstance(self.value, bool):
            raise self.error("must be true or false")
        return self.value

    def among(self, known: tuple[str, ...]) -> str:
        value = self.text()
        if value not in known:
            raise self.error(f"unknown value {value!r}", f"Known values: {', '.join(known)}")
        return value


def read(source: str, file: str) -> Located:
    """Parse `source`. Raises PolicyError with `file` and line."""
    if len(source) > _MOST_BYTES:
        raise PolicyError("the file is larger than 1 MB", where=file)
    try:
        _plain(source, file)
        loader = yaml.SafeLoader(source)
        try:
            node = loader.get_single_node()
            if node is None:
                raise PolicyError("the file is empty", where=file)
            return _located(node, "", file, loader)
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or str(error).split("\n")[0] or type(error).__name__
        raise PolicyError(f"not valid YAML: {what}", where=_place(file, mark)) from error


def _plain(source: str, file: str) -> None:
    """Raises PolicyError for what is no plain tree; before anything is built of it."""
    depth = 0
    for event in yaml.parse(source, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise PolicyError("anchors and aliases are not allowed", where=_place(file, event.start_mark))
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise PolicyError("too many lists and mappings within each other", where=_place(file, event.start_mark))


def _place(file: str, mark: Any) -> str:
    return f"{file}, line {mark.line + 1}" if mark is not None else file


def _located(node: yaml.Node, path: str, file: str, loader: yaml.SafeLoader) -> Located:
    line = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        return Located(_mapping(node, path, file, loader), path, file, line)
    if isinstance(node, yaml.SequenceNode):
        items = [_located(item, f"{path}[{i}]", file, loader) for i, item in enumerate(node.value)]
        return Located(items, path, file, line)
    if node.tag.rsplit(":", 1)[-1] not in ("str", "int", "float", "bool", "null"):
        raise PolicyError(f"{path}: values of the kind {node.tag!r} are not allowed", where=f"{file}, line {line}")
    return Located(loader.construct_object(node), path, file, line)


def _mapping(node: yaml.MappingNode, path: str, file: str, loader: yaml.SafeLoader) -> dict[str, Located]:
    out: dict[str, Located] = {}
    for key_node, value_node in node.value:
        place = f"{file}, line {key_node.start_mark.line + 1}"
        if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != "tag:yaml.org,2002:str":
            raise PolicyError(f"{path or 'the file'}: a key must be a plain text", where=place)
        key = key_node.value
        if key in out:
            raise PolicyError(f"{path or 'the file'}: the key {key!r} stands twice", where=place)
        out[key] = _located(value_node, f"{path}.{key}" if path else key, file, loader)
    return out
