"""`python -m fiel.infra.evaluation.secrets`: how many keys of each current kind the check `secrets` masks.

The keys are drawn at random in the form that their issuer documents, each in a sentence or a line of code; none of
them was ever valid. What must raise no alarm is drawn beside them: hashes, UUIDs and base64 images. Where
`detect-secrets` is installed, its plugins without the entropy and keyword ones run on the same texts for comparison.
"""

import argparse
import base64
import json
import random
import string
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from fiel.infra.evaluation.statistics import Figure, share
from fiel.policies.checks.secrets import find

Finder = Callable[[str], Sequence[tuple[int, int]]]

_ALPHABETS = {
    "a": string.ascii_letters + string.digits,
    "l": string.ascii_letters,
    "x": "0123456789abcdef",
    "u": string.ascii_uppercase + string.digits,
    "b": string.ascii_letters + string.digits + "+/",
    "w": string.ascii_letters + string.digits + "_-",
    "d": string.digits,
    "k": string.ascii_uppercase + "234567",
}

# A form: literal text, and `{a36}` for 36 characters of the alphabet `a`.
KINDS: Mapping[str, str] = {
    "age": "AGE-SECRET-KEY-1{u58}",
    "airtable": "pat{a14}.{x64}",
    "anthropic": "sk-ant-api03-{w93}AA",
    "atlassian": "ATATT3xFfGF0{w170}={x8}",
    "aws access key": "AKIA{k16}",
    "aws secret key": "aws_secret_access_key = {b40}",
    "azure client secret": "{a3}8Q~{a34}",
    "azure storage": "AccountKey={b86}==",
    "databricks": "dapi{x32}",
    "digitalocean": "dop_v1_{x64}",
    "discord webhook": "https://discord.com/api/webhooks/{d18}/{w68}",
    "docker": "dckr_pat_{a27}",
    "doppler": "dp.pt.{a43}",
    "figma": "figd_{a40}",
    "github classic": "ghp_{a36}",
    "github fine-grained": "github_pat_{a22}_{a59}",
    "gitlab": "glpat-{a20}",
    "google api": "AIza{a35}",
    "google oauth secret": "GOCSPX-{a28}",
    "grafana": "glsa_{a32}_{x8}",
    "groq": "gsk_{a52}",
    "hubspot": "pat-na1-{x8}-{x4}-{x4}-{x4}-{x12}",
    "hugging face": "hf_{l34}",
    "langsmith": "lsv2_pt_{x32}_{x10}",
    "linear": "lin_api_{a40}",
    "mailchimp": "{x32}-us{d2}",
    "mailgun": "key-{x32}",
    "netlify": "nfp_{a36}",
    "new relic": "NRAK-{u27}",
    "notion": "ntn_{a46}",
    "npm": "npm_{a36}",
    "openai project": "sk-proj-{w74}T3BlbkFJ{w74}",
    "openai classic": "sk-{a20}T3BlbkFJ{a20}",
    "perplexity": "pplx-{a48}",
    "planetscale": "pscale_tkn_{a43}",
    "postman": "PMAK-{x24}-{x34}",
    "pypi": "pypi-AgEIcHlwaS5vcmc{w150}",
    "replicate": "r8_{a37}",
    "rubygems": "rubygems_{x48}",
    "sendgrid": "SG.{a22}.{a43}",
    "sentry": "sntrys_{a120}",
    "shopify": "shpat_{x32}",
    "slack bot": "xoxb-{d12}-{d13}-{a24}",
    "slack webhook": "https://hooks.slack.com/services/T{u10}/B{u10}/{a24}",
    "square": "sq0csp-{w43}",
    "stripe": "sk_live_{a99}",
    "supabase": "sbp_{x40}",
    "tailscale": "tskey-auth-{a17}-{a32}",
    "telegram": "{d10}:AA{w33}",
    "terraform": "{a14}.atlasv1.{a67}",
    "twilio": "SK{x32}",
    "vault": "hvs.{a90}",
    "xai": "xai-{a80}",
}
_FRAMES = (
    "My key is {} and it stopped working.",
    'export TOKEN="{}"',
    "token: {}\n",
    "La clave del servicio es {}, ¿por qué falla?",
    "curl -H 'X-Api-Key: {}' https://api.example.org",
    "{}",
)


@dataclass(frozen=True, slots=True)
class Planted:
    """A text with one secret in it."""

    kind: str
    text: str
    start: int
    end: int


def planted(count: int, seed: int) -> Iterator[Planted]:
    """`count` texts of each kind, and as many PEM blocks and web tokens."""
    source = random.Random(seed)  # noqa: S311  (samples that must come out the same again, no secrets)
    kinds: dict[str, Callable[[], str]] = {kind: partial(_drawn, form, source) for kind, form in KINDS.items()}
    kinds |= {
        "discord bot": lambda: _encoded(str(source.randrange(10**17, 10**18)).encode()) + _drawn(".{a6}.{a38}", source),
        "json web token": lambda: _encoded(b'{"alg":"HS256","typ":"JWT"}') + _drawn(".eyJ{w60}.{w43}", source),
        "private key (pem)": lambda: _pem(source),
    }
    for kind, draw in kinds.items():
        for number in range(count):
            secret, frame = draw(), _FRAMES[number % len(_FRAMES)]
            start = frame.index("{}")
            yield Planted(kind, frame.replace("{}", secret, 1), start, start + len(secret))


def _drawn(form: str, source: random.Random) -> str:
    out = []
    for piece in form.split("{"):
        name, closing, rest = piece.partition("}")
        out.append("".join(source.choices(_ALPHABETS[name[0]], k=int(name[1:]))) + rest if closing else piece)
    return "".join(out)


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _pem(source: random.Random) -> str:
    name = source.choice(("RSA PRIVATE KEY", "EC PRIVATE KEY", "PRIVATE KEY", "OPENSSH PRIVATE KEY"))
    lines = "\n".join(_drawn("{b64}", source) for _ in range(source.randrange(3, 25)))
    return f"-----BEGIN {name}-----\n{lines}\n-----END {name}-----"


def harmless(count: int, seed: int) -> Iterator[str]:
    """`count` texts with a hash, a UUID or a base64 image: nothing to mask."""
    source = random.Random(seed)  # noqa: S311  (as above)
    makers: tuple[Callable[[], str], ...] = (
        lambda: _drawn("sha256:{x64}", source),
        lambda: _drawn("commit {x40}", source),
        lambda: _drawn("md5 {x32}", source),
        lambda: _drawn("sha512-{b86}==", source),
        lambda: f"id={uuid.UUID(int=source.getrandbits(128), version=4)}",
        lambda: "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + source.randbytes(600)).decode(),
        lambda: "<img src='data:image/jpeg;base64," + base64.b64encode(source.randbytes(900)).decode() + "'>",
    )
    for number in range(count):
        yield _FRAMES[number % len(_FRAMES)].replace("{}", makers[number % len(makers)](), 1)


def ours(text: str) -> list[tuple[int, int]]:
    """What the check `secrets` masks."""
    return [(start, end) for start, end, _ in find(text)]


def detect_secrets() -> Finder | None:
    """The plugins of detect-secrets without entropy and keywords, none of which asks a network; None: not installed."""
    try:
        from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class as plugins
    except ImportError:
        return None
    left_out = ("Base64HighEntropyString", "HexHighEntropyString", "KeywordDetector")
    known: Mapping[str, Any] = plugins()
    detectors = [plugin() for plugin in known.values() if plugin.__name__ not in left_out]

    def look(text: str) -> list[tuple[int, int]]:
        found = (str(value) for detector in detectors for value in detector.analyze_string(text) if value)
        return [(text.find(value), text.find(value) + len(value)) for value in found if value in text]

    return look


def covered(item: Planted, spans: Sequence[tuple[int, int]]) -> bool:
    """Whether the masks leave nothing of the secret but what names its kind: nine tenths of it are gone."""
    gone = {place for start, end in spans for place in range(max(start, item.start), min(end, item.end))}
    return len(gone) >= 0.9 * (item.end - item.start)


def measured(finder: Finder, items: Sequence[Planted], clean: Sequence[str]) -> tuple[dict[str, Figure], Figure]:
    """Share masked of each kind (and of `all`), and share of the harmless texts that raised an alarm."""
    hits: dict[str, list[bool]] = {}
    for item in items:
        hits.setdefault(item.kind, []).append(covered(item, finder(item.text)))
    figures = {kind: share(values) for kind, values in hits.items()}
    figures["all"] = share([hit for values in hits.values() for hit in values])
    return figures, share([bool(finder(text)) for text in clean])


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(prog="python -m fiel.infra.evaluation.secrets", description="Keys found by kind.")
    parser.add_argument("--count", type=int, default=60, help="keys of each kind")
    parser.add_argument("--harmless", type=int, default=3_500, help="hashes, UUIDs and images")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    items = list(planted(given.count, given.seed))
    clean = list(harmless(given.harmless, given.seed))
    finders: dict[str, Finder] = {"fiel": ours}
    if (other := detect_secrets()) is not None:
        finders["detect-secrets"] = other
    results = {name: measured(finder, items, clean) for name, finder in finders.items()}
    if given.json:
        plain = {
            name: {"masked": {k: _plain(f) for k, f in kinds.items()}, "false_alarms": _plain(alarms)}
            for name, (kinds, alarms) in results.items()
        }
        sys.stdout.write(json.dumps(plain, indent=1) + "\n")
        return 0
    for kind in results["fiel"][0]:
        row = "  ".join(f"{name} {kinds[kind]}" for name, (kinds, _) in results.items())
        sys.stdout.write(f"{kind:22} {row}\n")
    for name, (_, alarms) in results.items():
        sys.stdout.write(f"false alarms of {name}: {alarms}\n")
    return 0


def _plain(figure: Figure) -> dict[str, float]:
    return {"value": figure.value, "low": figure.low, "high": figure.high, "n": figure.n}


if __name__ == "__main__":
    raise SystemExit(main())
