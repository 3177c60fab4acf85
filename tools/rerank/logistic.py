"""Small logistic models over features that have names, and the file in which their coefficients stand."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import orjson

from fiel.tools.canonical import digest
from fiel.tools.errors import ModelUnavailable


@dataclass(frozen=True, slots=True)
class Logistic:
    """`1 / (1 + exp(-(bias + weights · features)))`, with the features' names for the order."""

    names: tuple[str, ...]
    weights: tuple[float, ...]
    bias: float

    def logit(self, row: Mapping[str, float]) -> float:
        """The score before the curve. Raises ModelUnavailable where a feature is missing or no finite number."""
        total = self.bias
        for name, weight in zip(self.names, self.weights, strict=True):
            value = row.get(name, math.nan)
            if not math.isfinite(value):
                raise ModelUnavailable(f"feature {name!r} is missing or no finite number", where="calibration")
            total += weight * value
        return total

    def probability(self, row: Mapping[str, float]) -> float:
        """Between 0 and 1."""
        logit = max(-30.0, min(30.0, self.logit(row)))
        return 1.0 / (1.0 + math.exp(-logit))


@dataclass(frozen=True, slots=True)
class Calibration:
    """Models and thresholds by name, as `python -m fiel.infra.evaluation.calibrate` has written them."""

    models: Mapping[str, Logistic]
    thresholds: Mapping[str, Mapping[str, float]]
    """Purpose (`relevance`, `answered`) to language to threshold; `*` stands for any other language."""
    digest: str
    """SHA-256 of the file and of which part of it was taken."""

    def threshold(self, purpose: str, language: str) -> float:
        """The threshold of `purpose` in `language`, else the strictest rule there is for languages without one."""
        table = self.thresholds[purpose]
        return table.get(language, table["*"])

    def model(self, *names: str) -> Logistic:
        """The first of `names` that there is."""
        for name in names:
            if name in self.models:
                return self.models[name]
        raise ModelUnavailable(f"no calibrated model is named {' or '.join(names)}", where="calibration")


def read(data: bytes, embedder: str = "") -> Calibration:
    """Parse a calibration file. Raises ModelUnavailable where it is not one.

    A file may hold models for the cosines of one embedder, which it names, and others for the vectors of `any`. The
    latter are taken where `embedder` is the version of another: what is a high cosine to one is a low one to the next.
    """
    try:
        plain: dict[str, Any] = orjson.loads(data)
        if embedder and plain["embedder"] != embedder:
            plain, data = plain["any"], b"any:" + data
        return Calibration(
            models={name: _logistic(entry) for name, entry in plain["models"].items()},
            thresholds={
                purpose: {language: float(value) for language, value in table.items()}
                for purpose, table in plain["thresholds"].items()
            },
            digest=digest(data),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelUnavailable("the calibration file cannot be read", where="calibration") from error


def _logistic(entry: Mapping[str, Any]) -> Logistic:
    weights: Mapping[str, str] = entry["weights"]
    return Logistic(tuple(weights), tuple(float(value) for value in weights.values()), float(entry["bias"]))


@cache
def calibration(embedder: str = "") -> Calibration:
    """The calibration that is shipped, for passages found by the embedder of that version (empty: the built-in one)."""
    return read(files("fiel.tools.rerank").joinpath("calibration.json").read_bytes(), embedder)


def finite(scores: Sequence[float], count: int, where: str) -> list[float]:
    """`scores`, if there are `count` of them and all are finite numbers. Raises ModelUnavailable otherwise."""
    plain = [float(score) for score in scores]
    if len(plain) != count or not all(math.isfinite(score) for score in plain):
        raise ModelUnavailable("the model answered no finite number for each text", where=where)
    return plain
