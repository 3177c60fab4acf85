"""Sentence vectors of training texts, kept on disk: embedding them is most of what a training costs."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fiel.infra.models import quiet_threads
from fiel.tools import e5

FOLDER = Path("build/vectors")
LONGEST = 1_200
"""Characters of a text that count: one window of the embedder."""
BATCH = 16


def embedded(texts: Sequence[str], folder: Path = FOLDER) -> npt.NDArray[np.float32]:
    """One unit vector a text, as a question: (texts, dimensions)."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for begin in range(0, len(texts), BATCH):
        batch = [text[:LONGEST] for text in texts[begin : begin + BATCH]]
        file = folder / f"{hashlib.sha256(chr(0).join(batch).encode()).hexdigest()[:32]}.npy"
        if not file.exists():
            np.save(file, _vectors(batch))
        rows.append(np.load(file))
    found = np.vstack(rows).astype(np.float32)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), dtype=np.float32)


def _vectors(texts: Sequence[str]) -> npt.NDArray[np.float32]:
    quiet_threads()
    return np.asarray(e5.shared().encode(texts, True), dtype=np.float32)
