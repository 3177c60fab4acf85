"""The page at /docs: the service's OpenAPI document for a person, made here, without a script from anywhere."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
code { font-family: ui-monospace, monospace } summary { cursor: pointer; padding: .3rem 0 }
.method { display: inline-block; min-width: 4.5rem; font-weight: 600 }
table { border-collapse: collapse } td, th { text-align: left; padding: .15rem .8rem .15rem 0; vertical-align: top }
pre { overflow-x: auto; padding: .6rem; border: 1px solid #8884 }
"""


def page(document: Mapping[str, Any]) -> str:
    """The whole page as HTML."""
    info = document["info"]
    groups: dict[str, list[str]] = {}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            tag = (operation.get("tags") or ["Other"])[0]
            groups.setdefault(tag, []).append(_operation(method, path, operation))
    body = "".join(f"<h2>{escape(tag)}</h2>{''.join(told)}" for tag, told in groups.items())
    schemas = document.get("components", {}).get("schemas", {})
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(info["title"])}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info.get('description', ''))} "
        f'The same for programs: <a href="openapi.json">openapi.json</a>.</p>{body}'
        f"<h2>Schemas</h2>{''.join(_schemas(schemas))}</html>"
    )


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    title = f'<span class="method">{escape(method.upper())}</span><code>{escape(path)}</code>'
    told = escape(operation.get("description") or operation.get("summary") or "")
    rows = "".join(_parameter(one) for one in operation.get("parameters", []))
    table = f"<table><tr><th>parameter<th>in<th>type<th>default</tr>{rows}</table>" if rows else ""
    content = operation.get("requestBody", {}).get("content", {})
    body = "".join(f"<p>Body: {_type(kind.get('schema', {}))}</p>" for kind in content.values())
    answers = "".join(_answer(status, one) for status, one in operation.get("responses", {}).items())
    return f"<details><summary>{title}</summary><p>{told}</p>{table}{body}<table>{answers}</table></details>"


def _parameter(one: Mapping[str, Any]) -> str:
    schema = one.get("schema", {})
    default = escape(str(schema["default"])) if "default" in schema else "required" if one.get("required") else ""
    return f"<tr><td><code>{escape(one['name'])}</code><td>{escape(one['in'])}<td>{_type(schema)}<td>{default}</tr>"


def _answer(status: str, one: Mapping[str, Any]) -> str:
    kinds = " ".join(_type(kind.get("schema", {})) for kind in one.get("content", {}).values())
    return f"<tr><td>{escape(status)}<td>{escape(one.get('description', ''))}<td>{kinds}</tr>"


def _type(schema: Mapping[str, Any]) -> str:
    """A schema in a few words, with a link to its own part of the page where it has a name."""
    if "$ref" in schema:
        name = escape(str(schema["$ref"]).rpartition("/")[2], quote=True)
        return f'<a href="#{name}">{name}</a>'
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return " or ".join(_type(one) for one in schema[key])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if "enum" in schema:
        return " | ".join(f"<code>{escape(str(one))}</code>" for one in schema["enum"])
    return escape(str(schema.get("type", "any")))


def _schemas(schemas: Mapping[str, Any]) -> Iterator[str]:
    for name, schema in sorted(schemas.items()):
        wanted = schema.get("required", [])
        rows = "".join(
            f"<tr><td><code>{escape(field)}</code><td>{_type(one)}<td>{'required' if field in wanted else ''}"
            f"<td>{escape(one.get('description', ''))}</tr>"
            for field, one in schema.get("properties", {}).items()
        )
        yield f'<h3 id="{escape(name, quote=True)}">{escape(name)}</h3><table>{rows}</table>'
