"""Secrets: keys, tokens, private keys, passwords in addresses, by the shapes that their issuers document.

Each shape names a literal that every such secret contains, so that a text without it costs one substring search. Plain
hashes, UUIDs and base64 images have no such literal and raise no alarm.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from fiel.policies.checks.base import Check, Found, marked, parameter
from fiel.policies.types import Span

_START = r"(?<![A-Za-z0-9_-])"
_END = r"(?![A-Za-z0-9_-])"


def _jwt(text: str) -> bool:
    """Whether the first part of three is the base64 of a JSON object with an algorithm."""
    head = text.split(".", 1)[0]
    try:
        return b'"alg"' in base64.urlsafe_b64decode(head[: len(head) // 4 * 4])
    except binascii.Error:
        return False


def _snowflake(text: str) -> bool:
    """Whether the first part of three is the base64 of a decimal number, as in the token of a Discord bot."""
    head = text.split(".", 1)[0]
    try:
        return base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)).isdigit()
    except binascii.Error:
        return False


def _mixed(text: str) -> bool:
    """Whether `text` mixes letters and digits, as a generated value does and a word does not."""
    return any(c.isdigit() for c in text) and any(c.isalpha() for c in text)


def _placeholder(text: str) -> bool:
    """Whether a password in an address is only a stand-in: `user:password@`, `user:***@`, `user:${PASS}@`."""
    word = text.rsplit("@", 1)[0].rsplit(":", 1)[-1].lower()
    return word.strip("*x.<>") == "" or word[0] in "$<{[%" or word in {"password", "pass", "pwd", "secret", "changeme"}


@dataclass(frozen=True, slots=True)
class _Shape:
    kind: str
    literals: tuple[str, ...]
    pattern: re.Pattern[str]
    valid: Callable[[str], bool] | None = None


def _shape(
    kind: str, literals: str | tuple[str, ...], body: str, valid: Callable[[str], bool] | None = None, end: str = _END
) -> _Shape:
    names = (literals,) if isinstance(literals, str) else literals
    return _Shape(kind, names, re.compile(f"{_START}(?:{body}){end}"), valid)


_SHAPES = (
    _shape("aws_key", ("AKIA", "ASIA", "ABIA", "ACCA"), r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}"),
    _shape("google_key", "AIza", r"AIza[A-Za-z0-9_-]{35}"),
    _shape("google_key", "GOCSPX-", r"GOCSPX-[A-Za-z0-9_-]{28}"),
    _shape("google_key", "ya29.", r"ya29\.[A-Za-z0-9_-]{20,2000}"),
    _shape(
        "github_token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"gh[pousr]_[A-Za-z0-9_.-]{35,254}[A-Za-z0-9]", end=""
    ),
    _shape("github_token", "github_pat_", r"github_pat_[A-Za-z0-9_]{40,255}"),
    _shape(
        "gitlab_token",
        "gl",
        r"gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas|soat)-[A-Za-z0-9_.-]{19,299}[A-Za-z0-9_-]",
        end="",
    ),
    _shape("slack_token", ("xox", "xapp-"), r"(?:xox[abeoprs]|xapp)-[A-Za-z0-9-]{10,250}", end=""),
    _shape(
        "slack_webhook",
        "hooks.slack.com",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/_-]{20,200}",
        end="",
    ),
    _shape("stripe_key", ("k_live_", "k_test_"), r"[srp]k_(?:live|test)_[A-Za-z0-9]{16,247}"),
    _shape("stripe_key", "whsec_", r"whsec_[A-Za-z0-9+/=]{24,100}", end=""),
    _shape("anthropic_key", "sk-ant-", r"sk-ant-[a-z]{2,10}[0-9]{2}-[A-Za-z0-9_-]{20,200}", end=""),
    _shape("openai_key", "T3BlbkFJ", r"sk-[A-Za-z0-9_-]{16,200}?T3BlbkFJ[A-Za-z0-9_-]{16,200}", end=""),
    _shape("openai_key", "sk-", r"sk-(?:proj|svcacct|admin|None|or-v1)-[A-Za-z0-9_-]{20,250}", _mixed, end=""),
    _shape("openai_key", "sk-", r"sk-[A-Za-z0-9]{32,64}", _mixed),
    _shape("huggingface_token", ("hf_", "api_org_"), r"(?:hf|api_org)_[A-Za-z]{34}"),
    _shape("databricks_token", "dapi", r"dapi[0-9a-f]{32}(?:-[0-9]{1,2})?"),
    _shape("databricks_token", "dose", r"dose[0-9a-f]{32}"),
    _shape("npm_token", "npm_", r"npm_[A-Za-z0-9]{36}"),
    _shape("pypi_token", "pypi-", r"pypi-AgE[A-Za-z0-9_-]{50,1000}", end=""),
    _shape("azure_key", "AccountKey=", r"AccountKey=[A-Za-z0-9+/]{40,100}={0,2}", end=""),
    _shape("azure_key", "SharedAccess", r"SharedAccess(?:Key|Signature)=[A-Za-z0-9+/%=&_.-]{20,400}", end=""),
    _shape("azure_key", "Q~", r"[A-Za-z0-9_~.-]{3}[78]Q~[A-Za-z0-9_~.-]{31,34}"),
    _shape("azure_key", "sig=", r"sig=[A-Za-z0-9%+/]{40,100}(?:%3D|=){0,2}", end=""),
    _shape("sendgrid_key", "SG.", r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
    _shape("twilio_key", "SK", r"SK[0-9a-f]{32}"),
    _shape("telegram_token", ":AA", r"[0-9]{8,10}:AA[A-Za-z0-9_-]{33}"),
    _shape("digitalocean_token", "_v1_", r"do[opr]_v1_[0-9a-f]{64}"),
    _shape("shopify_token", "shp", r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    _shape("linear_key", "lin_api_", r"lin_api_[A-Za-z0-9]{40}"),
    _shape("groq_key", "gsk_", r"gsk_[A-Za-z0-9]{48,56}"),
    _shape("xai_key", "xai-", r"xai-[A-Za-z0-9]{60,90}"),
    _shape("replicate_token", "r8_", r"r8_[A-Za-z0-9]{37}"),
    _shape("docker_token", "dckr_", r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{27,40}"),
    _shape("vault_token", "hv", r"hv[sbr]\.[A-Za-z0-9_-]{24,200}", _mixed),
    _shape("grafana_token", "gl", r"gl(?:sa_[A-Za-z0-9]{32}_[0-9a-fA-F]{8}|c_[A-Za-z0-9+/=]{32,400})", end=""),
    _shape("age_key", "AGE-SECRET-KEY-1", r"AGE-SECRET-KEY-1[0-9A-Z]{58}"),
    _shape("atlassian_token", "ATATT3", r"ATATT3[A-Za-z0-9_=-]{100,250}", end=""),
    _shape("airtable_token", "pat", r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}"),
    _shape("notion_token", ("ntn_", "secret_"), r"(?:ntn_[A-Za-z0-9]{40,50}|secret_[A-Za-z0-9]{43})", _mixed),
    _shape("perplexity_key", "pplx-", r"pplx-[A-Za-z0-9]{40,64}"),
    _shape("langsmith_key", "lsv2_", r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}"),
    _shape("mailgun_key", "key-", r"key-[0-9a-f]{32}"),
    _shape("mailchimp_key", "-us", r"[0-9a-f]{32}-us[0-9]{1,2}"),
    _shape("newrelic_key", "NRAK-", r"NRAK-[A-Z0-9]{27}"),
    _shape("postman_key", "PMAK-", r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}"),
    _shape("figma_token", "figd_", r"figd_[A-Za-z0-9_-]{40,60}", end=""),
    _shape("netlify_token", "nfp_", r"nfp_[A-Za-z0-9]{36}"),
    _shape("tailscale_key", "tskey-", r"tskey-(?:auth|api|client|scim|webhook)-[A-Za-z0-9]{8,32}-[A-Za-z0-9]{16,48}"),
    _shape("sentry_token", "sntry", r"sntry[su]_[A-Za-z0-9+/=_-]{40,300}", end=""),
    _shape("supabase_key", ("sbp_", "sb_secret_"), r"(?:sbp_[0-9a-f]{40}|sb_secret_[A-Za-z0-9_-]{22,60})"),
    _shape("planetscale_key", "pscale_", r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.-]{32,64}", end=""),
    _shape("terraform_token", ".atlasv1.", r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{60,70}"),
    _shape("rubygems_key", "rubygems_", r"rubygems_[0-9a-f]{48}"),
    _shape("doppler_token", "dp.", r"dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9_.-]{40,80}", end=""),
    _shape("square_token", "sq0", r"sq0(?:atp|csp|idp)-[A-Za-z0-9_-]{22,43}"),
    _shape("hubspot_token", "pat-", r"pat-(?:na|eu|ap)[0-9]-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    _shape(
        "discord_webhook",
        "/api/webhooks/",
        r"discord(?:app)?\.com/api/webhooks/[0-9]{17,20}/[A-Za-z0-9_-]{60,80}",
        end="",
    ),
    _shape("discord_token", (".",), r"[MNO][A-Za-z0-9]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38}", _snowflake),
    _shape("jwt", "eyJ", r"eyJ[A-Za-z0-9_-]{10,2000}\.[A-Za-z0-9_-]{10,8000}\.[A-Za-z0-9_-]{10,2000}", _jwt, end=""),
    _shape(
        "secret_key",
        ("secret", "SECRET", "Secret"),
        r"(?i:(?:aws_?)?secret_?(?:access_?)?key)[\"']{0,1}\s{0,3}[:=]{1,2}\s{0,3}[\"']{0,1}[A-Za-z0-9/+]{40}",
        _mixed,
        end=r"(?![A-Za-z0-9/+])",
    ),
)

_LITERALS = tuple((literal, shape) for shape in _SHAPES for literal in shape.literals)

_ADDRESS = re.compile(r"://[^\s/:@\"'<>]{0,100}:[^\s/@\"'<>]{1,200}@[A-Za-z0-9\[]")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}\Z")
_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?)-----")
_BEARER = re.compile(
    r"\b(?i:authorization)[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?i:bearer|basic|token)\s{1,3}"
    r"(?P<value>[A-Za-z0-9._~+/=-]{16,2000})"
)


def _pem(text: str) -> Iterator[tuple[int, int, str]]:
    """Private keys, whole: from the head to its end, or to the end of the text where the end is missing."""
    if "-----BEGIN " not in text:
        return
    until = 0
    for match in _PEM.finditer(text):
        if match.start() < until:
            continue
        tail = f"-----END {match.group(1)}-----"
        end = text.find(tail, match.end())
        until = len(text) if end < 0 else end + len(tail)
        yield match.start(), until, "private_key"


def _addresses(text: str) -> Iterator[tuple[int, int, str]]:
    """Addresses with a password: the part from the scheme to the `@`."""
    if "://" not in text or "@" not in text:
        return
    for match in _ADDRESS.finditer(text):
        scheme = _SCHEME.search(text, max(0, match.start() - 31), match.start())
        if scheme is not None and not _placeholder(match.group()):
            yield scheme.start(), match.end() - 2, "password"


def _bearers(text: str) -> Iterator[tuple[int, int, str]]:
    if "uthorization" not in text and "UTHORIZATION" not in text:
        return
    for match in _BEARER.finditer(text):
        if _mixed(match.group("value")):
            yield match.start("value"), match.end("value"), "token"


def find(text: str) -> Iterator[tuple[int, int, str]]:
    """Secrets in `text`: start, end, kind. They may overlap."""
    if len(text) < 12:
        return
    yield from _pem(text)
    yield from _addresses(text)
    yield from _bearers(text)
    for shape in {id(shape): shape for literal, shape in _LITERALS if literal in text}.values():
        for match in shape.pattern.finditer(text):
            if shape.valid is None or shape.valid(match.group()):
                yield match.start(), match.end(), shape.kind


@dataclass(frozen=True, slots=True)
class Secrets(Check):
    """Finds credentials. Score 1 where there is one."""

    name: ClassVar[str] = "secrets"
    reason: ClassVar[str] = "secret"
    masks: ClassVar[bool] = True
    inline: ClassVar[bool] = True

    ignore: tuple[str, ...] = parameter((), "Kinds that are no secret here, e.g. `password` in a tutorial's addresses.")

    def run(self, parts: Sequence[str], facts: Mapping[str, Any]) -> Found:
        return marked(
            parts,
            [
                Span(index, start, end, kind)
                for index, part in enumerate(parts)
                for start, end, kind in find(part)
                if kind not in self.ignore
            ],
        )
