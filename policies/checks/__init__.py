"""The checks there are. A new one is a module here, an entry below and in a bundle, a row in the contract suite."""

from fiel.policies.checks.banned import Banned
from fiel.policies.checks.base import Check, Found
from fiel.policies.checks.control import Control
from fiel.policies.checks.entities import Entities
from fiel.policies.checks.follows import Follows
from fiel.policies.checks.injection import Injection
from fiel.policies.checks.injection_head import InjectionHead
from fiel.policies.checks.leakage import Leakage
from fiel.policies.checks.length import Length
from fiel.policies.checks.links import Links
from fiel.policies.checks.moderation import Moderation
from fiel.policies.checks.orders import Orders
from fiel.policies.checks.pii import Pii
from fiel.policies.checks.secrets import Secrets
from fiel.policies.checks.source import Licence, Provenance
from fiel.policies.checks.topic_likeness import TopicLikeness
from fiel.policies.checks.topics import Topics

__all__ = ["CHECKS", "Check", "Found"]

CHECKS: dict[str, type[Check]] = {
    check.name: check
    for check in (
        *(Length, Control, Injection, InjectionHead, Moderation, Secrets, Pii, Entities, Leakage, Links),
        *(Topics, TopicLikeness, Banned, Licence, Provenance, Orders, Follows),
    )
}
