"""A summary as one HTML file that needs nothing beside it: no script, no font, no address elsewhere."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from fiel.infra.replay.pictures import bars, squares
from fiel.infra.replay.summary import KINDS

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2330; --soft: #5b6575; --page: #ffffff; --line: #d9dee6; --card: #f6f8fa;
  --bar: #3b6fb6; --bad: #b4482f; --good: #2e7d4f; --odd: #a6791a; --calm: #8793a3; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #9aa5b4; --page: #14181f; --line: #303846;
  --card: #1c222c; --bar: #6c9ee0; --bad: #e0795f; --good: #5fb583; --odd: #d6aa4b; --calm: #6a7686; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0 0 .3rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .6rem; } p { margin: .3rem 0; }
.soft { color: var(--soft); } code { font-size: .9em; overflow-wrap: anywhere; }
svg { max-width: 100%; height: auto; display: block; } svg text { font: 13px system-ui, sans-serif; fill: var(--ink); }
svg .name { text-anchor: end; } svg .top { text-anchor: middle; }
svg .bar { fill: var(--bar); } svg .withheld { fill: var(--bad); } svg .released { fill: var(--good); }
svg .changed { fill: var(--odd); } svg .same, svg .cut, svg .open, svg .failed { fill: var(--calm); }
svg .kept { fill: var(--bar); } svg .moved { fill: var(--bad); }
article { border: 1px solid var(--line); background: var(--card); border-radius: 6px; padding: .7rem 1rem;
  margin: .6rem 0; overflow-wrap: anywhere; }
article p { margin: .15rem 0; } .q { font-weight: 600; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .4rem 0 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
"""


def page(value: Mapping[str, Any], title: str) -> str:
    """The report of `Summary.plain()`. Every text in it is escaped: texts of users stay texts."""
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{escape(_headline(value))}</p>',
        *(f"<p>The process {one['pid']} {escape(one['how'])} over the run {one['run']}.</p>" for one in value["lost"]),
        "<h2>What became of the runs</h2>",
        bars(value["counts"], "Runs by what became of them", {kind: kind for kind in KINDS}),
        "".join(f'<p class="soft">{escape(kind)}: {escape(meaning)}</p>' for kind, meaning in KINDS.items()),
    ]
    if value["outcomes"]:
        parts += ["<h2>Outcome then (downwards) and now (to the right)</h2>", squares(value["outcomes"], "Outcomes")]
    for name, heading in (("hops", "The first hop that differs"), ("reasons", "Why answers would be withheld")):
        if value[name]:
            parts += [f"<h2>{heading}</h2>", bars(value[name], heading)]
    for kind, examples in value["examples"].items():
        parts += [f"<h2>{escape(kind.capitalize())}: examples</h2>", *map(_example, examples)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _headline(value: Mapping[str, Any]) -> str:
    changes = ", ".join(f"{name} = {one}" for name, one in value["changes"].items()) or "nothing changed"
    return f"{value['runs']} runs; {changes}; {bill(value['spent'])}; {value['seconds']} s"


def bill(spent: Mapping[str, Any]) -> str:
    """What live calls came to, in words."""
    tokens = f"{spent['input_tokens']} + {spent['output_tokens']} tokens"
    return f"{spent['calls']} live calls, {tokens}, cost {spent['cost']}"


def _example(one: Mapping[str, Any]) -> str:
    rows: list[tuple[str, str]] = [("run", one["run"])]
    if error := one.get("error"):
        return f"<article>{_list([*rows, (error['code'], error['what'])])}</article>"
    said = one["question"] if one["question"] is not None else "(masked)" if one["masked"] else "(not kept)"
    reasons = one["reason"] or {}
    for side, name in (("then", "recorded"), ("now", "replayed")):
        outcome, reason = one["outcome"][name] or "none", reasons.get(name)
        rows.append((side, f"{outcome} ({reason})" if reason else outcome))
    if first := one["first_divergence"]:
        shown = "masked" if first.get("masked") else f"{_short(first['recorded'])} → {_short(first['replayed'])}"
        rows.append(("first difference", f"{first['hop']}, {first['what']}: {shown}"))
    if one["refused"]:
        rows.append(("not allowed", f"a call of kind {one['refused']}"))
    for side, name in (("answer then", "recorded"), ("answer now", "replayed")):
        if one["answer"] and one["answer"][name]:
            rows.append((side, _short(one["answer"][name], 600)))
    return f'<article><p class="q">{escape(said)}</p>{_list(rows)}</article>'


def _list(rows: Sequence[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in rows) + "</dl>"


def _short(value: Any, longest: int = 200) -> str:
    text = str(value)
    return text if len(text) <= longest else text[: longest - 1] + "…"
