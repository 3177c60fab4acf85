"""The one place that imports Guardrails AI, and what it must not do when it is imported and used.

Measured for 0.11.0 on one busy core: the plain import costs 16 s of CPU and 307 MB, this one 5 s and 154 MB, of which
half is langchain_core, which fiel loads anyway. Two parts make the difference, and fiel uses neither:

* `guardrails.utils.docs_utils`, a splitter of documents, imports nltk (and with it scikit-learn, SciPy, pandas)
  and **downloads a tokenizer**. An empty module stands in its place; nltk itself is left alone.
* `jsonschema` builds a grammar of internationalised addresses with Lark where `rfc3987_syntax` is installed. It is an
  optional part of jsonschema, which does without it where the import fails.

Then telemetry. Guardrails sends usage to its makers unless `~/.guardrailsrc` says otherwise, and reads that file again
for each guard. `StageGuard` does not read it, and the sender is replaced by one that was never set up: no thread, no
exporter, no connection. Its own spans, which carry raw text, are off.
"""

import asyncio
import sys
import threading
import warnings
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from fiel.policies.rules import Work

_REPLACED = "guardrails.utils.docs_utils"
_OPTIONAL = frozenset({"rfc3987_syntax"})
_lock = threading.Lock()
_kit: "Kit | None" = None


class _Without(MetaPathFinder):
    """Says that an optional package is not there, to the importing thread alone."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self._thread = threading.get_ident()

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if fullname in self._names and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"{fullname} is not imported here on purpose", name=fullname)
        return None


class Kit:
    """What fiel uses of Guardrails AI. Make it with `kit()`."""

    def __init__(self) -> None:
        _import_quietly()
        from guardrails import AsyncGuard, OnFailAction, Validator, register_validator, settings
        from guardrails.classes.rc import RC
        from guardrails.utils.hub_telemetry_utils import HubTelemetry
        from guardrails_ai.types import FailResult, PassResult

        # Never set up: the class's defaults say disabled, without a tracer.
        HubTelemetry._instance = object.__new__(HubTelemetry)
        settings.disable_tracing = True
        settings.rc = RC(enable_metrics=False, use_remote_inferencing=False)
        passed = PassResult()

        class StageGuard(AsyncGuard):  # type: ignore[misc]
            """A guard over the checks of one stage of a bundle.

            `judge` asks the guard's validators itself. Guardrails' runner is left out: it prompts, asks again and keeps
            the raw texts of the last ten calls. So is its service, which makes a task, a span and a log of each
            validator, whatever it does, and reads nothing of them that is not in the verdicts.
            """

            def _load_rc(self) -> None:
                settings.rc = RC(enable_metrics=False, use_remote_inferencing=False)

            def _configure_hub_telemtry(self, allow_metrics_collection: bool | None = None) -> None:
                super()._configure_hub_telemtry(False)

            async def judge(self, work: Work) -> None:
                """Let every validator judge `work`, which keeps the verdicts. Guardrails itself sees no text.

                Those that are done at once go first and in order; the others then wait side by side.
                """
                facts = {"work": work}
                slow = []
                for validator in self._validators:
                    if work.waits(validator._index):
                        slow.append(validator)
                    else:
                        await validator.async_validate("", facts)
                await asyncio.gather(*(validator.async_validate("", facts) for validator in slow))

        class Enforce(Validator):  # type: ignore[misc]
            """A validator that lets one rule of the bundle judge."""

            def __init__(self, index: int) -> None:
                super().__init__(on_fail=OnFailAction.NOOP)
                self._index = index

            async def async_validate(self, value: Any, metadata: dict[str, Any]) -> Any:
                work: Work = metadata["work"]
                await work.judge(self._index)
                verdict = work.verdicts[self._index]
                if verdict is None or verdict.action == "allow":
                    return passed
                return FailResult(error_message=verdict.reason)

        self._guard = StageGuard
        self._enforce = Enforce
        self._register = register_validator
        self._guards: dict[tuple[str, ...], Any] = {}
        self._validators: dict[str, type[Any]] = {}

    def guard(self, checks: Sequence[str]) -> Any:
        """A guard whose validator number i lets rule number i judge; `checks` are the names of the rules' checks.

        It holds nothing of a bundle, so that stages with the same checks share one (building it takes 50 to 110 ms).
        """
        key = tuple(checks)
        if key not in self._guards:
            guard = self._guard(name="-".join(key), history_max_length=1)
            self._guards[key] = guard.use(*(self._validator(check)(index) for index, check in enumerate(key)))
        return self._guards[key]

    def _validator(self, check: str) -> type[Any]:
        if check not in self._validators:
            kind = type(f"Enforce{check.title()}", (self._enforce,), {})
            self._validators[check] = self._register(name=f"fiel/{check}", data_type="string")(kind)
        return self._validators[check]


def kit() -> Kit:
    """Guardrails AI, imported once a process (seconds of CPU at the first call, from any thread)."""
    global _kit
    with _lock:
        if _kit is None:
            _kit = Kit()
        return _kit


def _import_quietly() -> None:
    # Guardrails imports its own command line, whose parts warn about each other; nothing that fiel could change.
    warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"typer(\.|\Z)")
    finder = _Without(_OPTIONAL)
    sys.modules.setdefault(_REPLACED, ModuleType(_REPLACED, "Left out: it downloads a tokenizer when it is imported."))
    sys.meta_path.insert(0, finder)
    try:
        import guardrails  # noqa: F401
    finally:
        sys.meta_path.remove(finder)
