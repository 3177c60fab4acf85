"""The wording of a text as numbers: words, pairs of words, runs of letters and signs, each weighed by a small file.

It stands beside a head on the sentence vector, which knows what a text is about and little of its words. Words are
hashed, so the file holds no word of the texts that it was fitted to.
"""

import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from zipfile import BadZipFile
from zlib import crc32

import numpy as np
import numpy.typing as npt

from fiel.policies.checks.folding import Folded
from fiel.policies.checks.signs import SIGNS, signs
from fiel.policies.heads import bytes_of, file_of
from fiel.tools.errors import PolicyError

WORDS = 1 << 16
"""Places for words and pairs of words."""
LETTERS = 1 << 17
"""Places for runs of three to five letters within a word."""
PLACES = WORDS + LETTERS + SIGNS

Numbers = npt.NDArray[np.float32]
_TOKEN = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True, slots=True, eq=False)
class Grams:
    """`logit(text) = (sum of words + pairs) / root of their number + (sum of runs) / root of theirs + sum of signs`."""

    weights: Numbers
    """(PLACES,): first the places of words and pairs, then those of runs, then those of signs."""

    def logit(self, text: str) -> float:
        """Of one window: what it adds to the logit of the head."""
        words, letters = places(text)
        seen = self.weights[[WORDS + LETTERS + sign for sign in signs(text)]]
        return float(_norm(self.weights[words]) + _norm(self.weights[letters]) + seen.sum())


def _norm(found: Numbers) -> float:
    return float(found.sum()) / math.sqrt(len(found)) if len(found) else 0.0


def places(text: str) -> tuple[list[int], list[int]]:
    """Where in the weights the words and pairs of `text` stand, and where its runs of letters; each once, ascending.

    Letters are folded first: case, accents and look-alikes make no difference.
    """
    tokens = _TOKEN.findall(Folded(text).text)
    words = {crc32(token.encode()) % WORDS for token in tokens}
    words |= {crc32(f"{one} {two}".encode()) % WORDS for one, two in pairwise(tokens)}
    letters = {WORDS + crc32(run.encode()) % LETTERS for token in set(tokens) for run in _runs(token)}
    return sorted(words), sorted(letters)


def _runs(token: str) -> Iterator[str]:
    word = f" {token} "
    for size in (3, 4, 5):
        for begin in range(max(1, len(word) - size + 1)):
            yield word[begin : begin + size]


def write(name: str, weights: Numbers) -> None:
    """Save the weights of `name` without pickles; half precision is enough."""
    np.savez_compressed(file_of(name), weights=weights.astype(np.float16))


@cache
def grams(name: str) -> Grams:
    """The weights `name`, such as `injection/grams.npz`, read once a process. Raises PolicyError where that fails."""
    try:
        with np.load(io.BytesIO(bytes_of(name)), allow_pickle=False) as held:
            weights = held["weights"].astype(np.float32)
    except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
        raise PolicyError(f"the weights {name!r} cannot be read: {error}", where=str(file_of(name))) from error
    if weights.shape != (PLACES,) or not np.isfinite(weights).all():
        raise PolicyError(f"the weights {name!r} are broken", where=str(file_of(name)), hint="Train them again")
    return Grams(weights)
