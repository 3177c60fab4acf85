"""The policy port on Guardrails AI: one guard a stage of a bundle, built once.

The decision is read from the verdicts of our own validators, never from what the guard makes of them.
"""

import asyncio
import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fiel.policies.bundled import PolicyBundle
from fiel.policies.guardrails import kit
from fiel.policies.limits import Threads
from fiel.policies.plain import Loaded
from fiel.policies.rules import Work
from fiel.policies.types import STAGES, Bundle, Decision, Stage

_log = logging.getLogger(__name__)


class GuardrailsPolicies(Loaded):
    """Runs the rules of a stage side by side in a guard. Safe for any number of calls at once."""

    def __init__(self, bundles: Mapping[str, PolicyBundle]) -> None:
        super().__init__(bundles)
        self._threads = Threads()
        self._guards: dict[tuple[str, Stage], Any] = {}
        self._warm = False
        self._lock = threading.Lock()

    def warm(self) -> None:
        """Import Guardrails and build all guards: seconds, once.

        The composition root calls it in the background; the first `check` waits for it. Raises what the import raises.
        """
        with self._lock:
            if self._warm:
                return
            self._build(self._known.values())
            self._warm = True

    def prepare(self, bundles: Mapping[str, PolicyBundle]) -> None:
        """Build the guards of bundles that are to `replace` the present ones, so that no text waits for them."""
        self.warm()
        with self._lock:
            self._build(bundles.values())

    def _build(self, bundles: Iterable[PolicyBundle]) -> None:
        tools = kit()
        for bundle in bundles:
            for stage in STAGES:
                if bundle.rules[stage]:
                    names = [rule.check.name for rule in bundle.rules[stage]]
                    self._guards[bundle.version, stage] = tools.guard(names)

    async def check(
        self, bundle: Bundle, stage: Stage, parts: Sequence[str], facts: Mapping[str, Any] | None = None
    ) -> Decision:
        mine = self.own(bundle)
        work = Work(mine.rules[stage], parts, facts, self._threads)
        if not work.rules:
            return work.decide()
        try:
            if not self._warm:
                await asyncio.to_thread(self.warm)
            if (mine.version, stage) not in self._guards:
                await asyncio.to_thread(self.prepare, {mine.name: mine})  # a variant that nobody needed before
            await self._guards[mine.version, stage].judge(work)
        except Exception as error:
            # The edge at which a failure of the library becomes a block.
            _log.error("the guard of %s-%s failed: %s; the text is blocked", mine.name, stage, type(error).__name__)
            return work.fail()
        return work.decide()
