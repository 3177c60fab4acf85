"""Bundles and checks as plain values, for the command line and the API."""

from dataclasses import fields
from typing import Any

from fiel.policies.bundled import Entry, PolicyBundle
from fiel.policies.checks import CHECKS


def show_bundle(bundle: PolicyBundle) -> dict[str, Any]:
    """Everything a bundle decides, inherited parts included: `fiel policy show`."""
    return {
        "name": bundle.name,
        "version": bundle.version,
        "description": bundle.description,
        "lineage": list(bundle.lineage),
        "file": bundle.file,
        "checks": [_entry(entry) for entry in bundle.entries],
        "restore": list(bundle.restore),
        "messages": {language: dict(words) for language, words in bundle.messages.items()},
        "review": bundle.review.plain(),
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
