"""Bundles and decisions as plain values, for the command line and the API."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from fiel.policies.bundle import Entry, PolicyBundle
from fiel.policies.checks import CHECKS
from fiel.policies.types import HELD, Decision, Verdict


def list_bundles(bundles: Mapping[str, PolicyBundle]) -> list[dict[str, Any]]:
    """One line a bundle: `fiel policy list`."""
    return [
        {
            "name": bundle.name,
            "version": bundle.version,
            "extends": bundle.lineage[1] if len(bundle.lineage) > 1 else None,
            "description": bundle.description,
            "checks": len(bundle.entries),
            "file": bundle.file,
        }
        for _, bundle in sorted(bundles.items())
    ]


def show_bundle(bundle: PolicyBundle) -> dict[str, Any]:
    """Everything a bundle decides, inherited parts included: `fiel policy show`."""
    return {
        "name": bundle.name,
        "version": bundle.version,
        "description": bundle.description,
        "lineage": list(bundle.lineage),
        "file": bundle.file,
        "checks": [_entry(entry) for entry in bundle.entries],
        "messages": {language: dict(words) for language, words in bundle.messages.items()},
        "examples": len(bundle.examples),
    }


def _entry(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "check": entry.check.name,
        "reason": entry.check.reason,
        "stages": {stage: {band.action: band.threshold for band in bands} for stage, bands in entry.stages.items()},
        "with": entry.check.parameters(),
        "limit_ms": entry.limit_ms,
    }


def list_checks() -> list[dict[str, Any]]:
    """The checks there are, with their parameters."""
    return [
        {
            "check": name,
            "reason": kind.reason,
            "finds": (kind.__doc__ or "").strip().split("\n")[0],
            "with": {spec.name: spec.metadata["meaning"] for spec in fields(kind)},
        }
        for name, kind in CHECKS.items()
    ]


def show_verdict(verdict: Verdict, *, spans: bool = True) -> dict[str, Any]:
    """A verdict as the interfaces show it; without spans for callers who may not see what did not leave."""
    return {
        "check": verdict.check,
        "stage": verdict.stage,
        "version": verdict.version,
        "action": verdict.action,
        "score": verdict.score,
        "threshold": verdict.threshold,
        "reason": verdict.reason,
        "ms": verdict.ms,
        "spans": [
            {"part": span.part, "start": span.start, "end": span.end, "kind": span.kind}
            for span in (verdict.spans if spans else ())
        ],
    }


def show_decision(decision: Decision) -> dict[str, Any]:
    """What `fiel policy check` prints about one text. The text is there unless it is kept back."""
    return {
        "action": decision.action,
        "verdicts": [show_verdict(verdict) for verdict in decision.verdicts],
        "text": "" if decision.action in HELD else decision.parts[0],
    }
