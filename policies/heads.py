"""Heads: small classifiers on the sentence vector. Numbers in a file without code, read with NumPy alone.

A head adds a linear part and the nearness to landmarks, texts of the training set whose vectors (not whose words) the
file holds; the sum is calibrated, so that the logistic of it is a probability.
"""

import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from fiel.tools.canonical import digest
from fiel.tools.errors import PolicyError

Matrix = npt.NDArray[np.float32]
FOLDER = Path(__file__).parent / "models"


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """`logit(v) = a · exp(-width · |v - landmarks|²) + c · v + bias` for unit vectors v."""

    landmarks: Matrix
    """(m, dimensions), unit length but for rounding."""
    near: Matrix
    """(m,), the weights a."""
    linear: Matrix
    """(dimensions,), the weights c."""
    bias: float
    width: float

    def logits(self, vectors: Matrix) -> Matrix:
        """One logit a row of `vectors`, (n, dimensions) of unit length."""
        distances = np.maximum(2.0 - 2.0 * (vectors @ self.landmarks.T), 0.0)
        return np.asarray(np.exp(-self.width * distances) @ self.near + vectors @ self.linear + self.bias, np.float32)


def chance(logits: Matrix) -> Matrix:
    """The probabilities that logits stand for."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -30.0, 30.0))), np.float32)


def write(head: Head, file: Path) -> None:
    """Save `head` without pickles; half precision is enough for the landmarks."""
    np.savez(
        file,
        landmarks=head.landmarks.astype(np.float16),
        near=head.near.astype(np.float32),
        linear=head.linear.astype(np.float32),
        scalars=np.array([head.bias, head.width], dtype=np.float64),
    )


def file_of(name: str) -> Path:
    """The file of the head `name`; a name with a file in it, such as `entities/tagger.crf`, is that file's."""
    return FOLDER / name if "/" in name else FOLDER / name / "weights.npz"


@cache
def hash_of(name: str) -> str:
    """SHA-256 of the file; part of a bundle's version. Raises PolicyError where it is missing."""
    return digest(bytes_of(name))


@cache
def head(name: str) -> Head:
    """The head `name`, read once a process. Raises PolicyError where the file cannot be used."""
    try:
        with np.load(io.BytesIO(bytes_of(name)), allow_pickle=False) as held:
            landmarks, near, linear = (held[key].astype(np.float32) for key in ("landmarks", "near", "linear"))
            bias, width = (float(value) for value in held["scalars"])
        fits = landmarks.ndim == 2 and near.shape == landmarks.shape[:1] and linear.shape == landmarks.shape[1:]
    except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
        raise PolicyError(f"the head {name!r} cannot be read: {error}", where=str(file_of(name))) from error
    if not fits or not all(np.isfinite(part).all() for part in (landmarks, near, linear, np.array([bias, width]))):
        raise PolicyError(f"the head {name!r} is broken", where=str(file_of(name)), hint="Train it again")
    return Head(landmarks, near, linear, bias, width)


def bytes_of(name: str) -> bytes:
    """What the file of `name` holds. Raises PolicyError where it is missing."""
    try:
        return file_of(name).read_bytes()
    except OSError as error:
        raise PolicyError(f"the head {name!r} is missing: {error.strerror}", where=str(file_of(name))) from error
