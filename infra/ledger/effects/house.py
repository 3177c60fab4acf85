"""The house's own ports, recorded: search, policies and reviews."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from fiel.infra.ledger.effects.record import Recorded, asker, floats, recorded
from fiel.infra.ledger.encode import digest, encode
from fiel.policies.types import Bundle, Decision, Policies, Stage, Verdict
from fiel.tools.principal import Principal
from fiel.tools.review import Case, Reviews, Ruling
from fiel.tools.search import CollectionInfo, Passage, Search, SearchRequest


class RecordedSearch(Recorded[Search]):
    """`Search`. Who asked is part of the request."""

    async def collection(self, principal: Principal, name: str) -> CollectionInfo:
        asked = {"principal": asker(principal), "collection": name}
        return await recorded("collection", lambda: encode(asked), self._port.collection(principal, name), encode)

    async def search(self, principal: Principal, requests: Sequence[SearchRequest]) -> list[list[Passage]]:
        return await recorded(
            "search",
            lambda: encode(
                {
                    "index": self.version,
                    "principal": asker(principal),
                    "requests": [
                        {
                            "collection": one.collection,
                            "text": one.text,
                            "vector": digest(floats(one.vector)),
                            "language": one.language,
                            "k": one.k,
                        }
                        for one in requests
                    ],
                }
            ),
            self._port.search(principal, requests),
            encode,
        )


class RecordedPolicies:
    """`Policies`: verdicts are recorded; loading a bundle and redacting are functions of their arguments."""

    def __init__(self, port: Policies) -> None:
        self._port = port

    def bundle(self, name: str, version: str = "") -> Bundle:
        return self._port.bundle(name, version)

    def variant(self, bundle: Bundle, collection: str, roles: Collection[str]) -> Bundle:
        return self._port.variant(bundle, collection, roles)

    def redact(self, bundle: Bundle, text: str) -> str:
        return self._port.redact(bundle, text)

    async def check(
        self, bundle: Bundle, stage: Stage, parts: Sequence[str], facts: Mapping[str, Any] | None = None
    ) -> Decision:
        return await recorded(
            "check",
            lambda: encode({"bundle": bundle.version, "stage": stage, "parts": list(parts), "facts": facts or {}}),
            self._port.check(bundle, stage, parts, facts),
            _decision,
        )


def _decision(decision: Decision) -> bytes:
    """Without milliseconds: they differ from run to run and decide nothing."""
    # Made anew and not by `replace`, which takes longer than some checks.
    verdicts = tuple(
        Verdict(one.check, one.stage, one.version, one.action, one.score, one.threshold, one.reason, one.spans, 0)
        for one in decision.verdicts
    )
    return encode(Decision(decision.action, verdicts, decision.parts, decision.reason, decision.placeholders))


class RecordedReviews:
    """`Reviews`: that somebody was asked, and what was decided. The reviewer's words are contents like any other."""

    def __init__(self, port: Reviews) -> None:
        self._port = port

    async def ask(self, config: Mapping[str, Any], case: Case) -> str | None:
        asked = {"stage": case.stage, "subject": case.subject, "reason": case.reason, "policy": case.policy}
        return await recorded("review", lambda: encode(asked), self._port.ask(config, case), encode)

    async def ruling(self, principal: Principal, review: str) -> Ruling | None:
        asked = {"principal": asker(principal), "review": review}
        return await recorded("ruling", lambda: encode(asked), self._port.ruling(principal, review), encode)
