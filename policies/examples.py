"""The examples of a bundle: texts, what it must decide about them, and the proof that it does."""

from dataclasses import replace

from fiel.policies.bundled import Example, PolicyBundle
from fiel.policies.entries import ACTIONS
from fiel.policies.located import Located
from fiel.policies.plain import decide
from fiel.policies.types import STAGES, Stage
from fiel.tools.errors import PolicyError

FACTS = ("question", "prompt", "language", "canary", "licence", "trust", "passages")
"""What an example may say beside its text."""
PATIENCE = 60.0
"""Seconds that a check has for an example, where its own limit is shorter."""


def example_of(located: Located) -> Example:
    """One example. Raises PolicyError."""
    keys = located.mapping("stage", "text", "expect", "reason", "becomes", "facts")
    for key in ("stage", "text", "expect"):
        if key not in keys:
            raise located.error(f"the key {key!r} is missing")
    facts = keys["facts"].mapping(*FACTS) if "facts" in keys else {}
    stage: Stage = keys["stage"].among(STAGES)  # type: ignore[assignment]
    return Example(
        stage,
        keys["text"].text(),
        keys["expect"].among(("allow", *ACTIONS)),
        keys["reason"].text() if "reason" in keys else "",
        keys["becomes"].text() if "becomes" in keys else "",
        {name: item.text() for name, item in facts.items()},
        f"{located.file}, line {located.line}",
    )


def prove(bundle: PolicyBundle) -> None:
    """Let every check load what it needs, then run the bundle's examples, and those of each override with it alone.

    Raises PolicyError for the first that comes out otherwise, and what a check raises that lacks something.
    """
    for entry in (*bundle.entries, *(one for over in bundle.overrides for one in (*over.tightening, *over.relaxing))):
        entry.check.prepare()
    _run(bundle)
    for override in bundle.overrides:
        if override.examples:
            _run(replace(bundle.variant([override.id]), examples=override.examples))


def _patient(bundle: PolicyBundle) -> PolicyBundle:
    """`bundle` with time: an example proves what a check decides, and a busy machine is no reason not to start."""
    rules = {
        stage: tuple(replace(rule, limit=max(rule.limit, PATIENCE)) for rule in bundle.rules[stage]) for stage in STAGES
    }
    return replace(bundle, rules=rules)


def _run(bundle: PolicyBundle) -> None:
    bundle = _patient(bundle)
    for example in bundle.examples:
        decision = decide(bundle, example.stage, (example.text,), example.facts)
        reasons = [v.reason for v in decision.verdicts if v.action == decision.action]
        wrong = (
            decision.action != example.expect
            or (example.reason and example.reason not in reasons)
            or (example.becomes and decision.parts[0] != example.becomes)
        )
        if wrong:
            raise PolicyError(
                f"bundle {bundle.name!r} fails its own example: {example.stage} gives {decision.action} "
                f"({', '.join(reasons) or 'ok'}), not {example.expect} ({example.reason or 'any reason'})",
                where=example.where,
                hint="Change the checks or the example",
            )
