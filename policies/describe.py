"""Bundles and checks as plain values, for the command line and the API."""

from typing import Any

from fiel.policies.bundled import Entry, PolicyBundle


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
