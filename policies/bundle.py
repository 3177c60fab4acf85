"""Bundles: policy as code. A YAML file becomes a frozen object whose version is the hash of everything that decides.

See `bundles/default.yaml` for the form. A bundle that extends another can only tighten it; a bundle that fails its own
examples does not load.
"""

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from fiel.policies.checks import CHECKS, Check
from fiel.policies.heads import hash_of
from fiel.policies.located import Located, read
from fiel.policies.overrides import KEYS as OVERRIDE_KEYS
from fiel.policies.overrides import MARK, Override, canonical, combined, parse, relaxable
from fiel.policies.rules import SEVERITY, Band, Rule
from fiel.policies.types import STAGES, Stage
from fiel.tools.canonical import digest, digest_of
from fiel.tools.canonical import score as decimal
from fiel.tools.errors import FielError, PolicyError

ACTIONS: tuple[Literal["flag", "redact", "review", "block"], ...] = ("flag", "redact", "review", "block")
DEFAULT_THRESHOLD = 0.5
DEFAULT_LIMIT_MS = 2_000
FACTS = ("question", "prompt", "language", "canary", "licence", "trust")
"""What an example may say beside its text."""
BUNDLE_FILES = (".yaml", ".yml")
BUILT_IN = Path(__file__).parent / "bundles"
_FORMAT = 1
_SHARED = (
    "fiel.policies.checks.base",
    "fiel.policies.mask",
    "fiel.policies.overrides",
    "fiel.policies.rules",
    "fiel.policies.types",
)
"""Modules whose source decides in every bundle."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One check as a bundle configures it."""

    id: str
    check: Check
    stages: Mapping[Stage, tuple[Band, ...]]
    limit_ms: int


@dataclass(frozen=True, slots=True)
class Example:
    """A text and what the bundle must decide about it."""

    stage: Stage
    text: str
    expect: str
    reason: str
    becomes: str
    """Text after redaction; empty: not compared."""
    facts: Mapping[str, str]
    where: str


@dataclass(frozen=True, slots=True)
class PolicyBundle:
    """A loaded bundle."""

    name: str
    description: str
    lineage: tuple[str, ...]
    """Names of this bundle and of those that it extends, nearest first."""
    entries: tuple[Entry, ...]
    messages: Mapping[str, Mapping[str, str]]
    """Language to reason code to words."""
    examples: tuple[Example, ...]
    version: str
    file: str
    rules: Mapping[Stage, tuple[Rule, ...]] = field(repr=False, compare=False)
    masking: tuple[Rule, ...] = field(repr=False, compare=False)
    """Rules, one a check, whose findings are masked in spans and logs."""
    overrides: tuple[Override, ...] = ()
    relaxable: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Check to the roles for which an override may relax it."""

    def overriding(self, collection: str, roles: Collection[str]) -> tuple[str, ...]:
        """Ids of the overrides that hold for a run over `collection` by a caller with `roles`, in the file's order."""
        return tuple(override.id for override in self.overrides if override.applies(collection, roles))

    def variant(self, ids: Sequence[str]) -> "PolicyBundle":
        """The bundle with the overrides of those ids. Raises PolicyError for an id that it does not have."""
        chosen = [override for override in self.overrides if override.id in ids]
        if len(chosen) != len(ids) or not ids:
            raise PolicyError(f"the bundle {self.name!r} has no overrides {', '.join(ids) or '(none named)'}")
        words = {language: dict(found) for language, found in self.messages.items()}
        for override in chosen:
            for language, found in override.messages.items():
                words.setdefault(language, {}).update(found)
        name = f"{self.name}{MARK}{'+'.join(override.id for override in chosen)}"
        entries = combined(self.entries, chosen)
        return _assembled(name, self.description, self, entries, words, (), self.file, (), {})

    def satisfies(self, least: str) -> bool:
        """Whether this bundle is `least` or extends it."""
        return least in self.lineage

    def uses(self, check: str, stage: Stage) -> bool:
        """Whether a check of that kind runs in the stage."""
        return any(rule.check.name == check for rule in self.rules[stage])

    def message(self, reason: str, language: str, otherwise: str = "blocked") -> str:
        """Fixed words for `reason`; those for `otherwise`, then for `blocked`, where the reason has none of its own."""
        for code in (reason, otherwise, "blocked"):
            for words in (self.messages.get(language, {}), self.messages["en"]):
                if code in words:
                    return words[code]
        return self.messages["en"]["blocked"]


def load_bundles(folder: Path | str | None = None) -> dict[str, PolicyBundle]:
    """The built-in bundles and those of `folder`, by name. Raises PolicyError: no start without a policy."""
    files = _files(BUILT_IN)
    if folder:
        files += _files(Path(folder))
    documents: dict[str, Located] = {}
    for file in files:
        document = _document(file)
        name = document.mapping(*_KEYS).get("name", document).text()
        if name in documents:
            raise document.mapping()["name"].error(f"a bundle {name!r} exists already", "Choose another name")
        documents[name] = document
    loaded: dict[str, PolicyBundle] = {}
    for name in documents:
        _load(name, documents, loaded, ())
    return loaded


def load_file(file: Path | str, bundles: Mapping[str, PolicyBundle]) -> PolicyBundle:
    """The bundle of one file alone; it may extend one of `bundles`. Raises PolicyError."""
    document = _document(Path(file))
    keys = document.mapping(*_KEYS)
    base = keys["extends"].text() if "extends" in keys else ""
    if base and base not in bundles:
        raise keys["extends"].error(f"there is no bundle {base!r}", f"There are: {', '.join(sorted(bundles))}")
    return _bundle(document, bundles[base] if base else None)


_KEYS = ("name", "description", "extends", "limit_ms", "checks", "messages", "examples", "overrides", "relaxable")


def _files(folder: Path) -> list[Path]:
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix in BUNDLE_FILES)
    except OSError as error:
        raise PolicyError(
            f"the folder of policy bundles cannot be read: {error.strerror}",
            where=str(folder),
            hint="See FIEL_POLICIES",
        ) from error
    if not files:
        raise PolicyError("the folder holds no policy bundle (*.yaml)", where=str(folder), hint="See FIEL_POLICIES")
    return files


def _document(file: Path) -> Located:
    try:
        source = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(f"the bundle cannot be read: {error}", where=str(file)) from error
    return read(source, str(file))


def _load(
    name: str, documents: Mapping[str, Located], loaded: dict[str, PolicyBundle], on_the_way: tuple[str, ...]
) -> PolicyBundle:
    if name in loaded:
        return loaded[name]
    keys = documents[name].mapping(*_KEYS)
    base: PolicyBundle | None = None
    if "extends" in keys:
        other = keys["extends"].text()
        if other not in documents:
            raise keys["extends"].error(f"there is no bundle {other!r}", f"There are: {', '.join(sorted(documents))}")
        if other == name or other in on_the_way:
            raise keys["extends"].error("a bundle cannot extend itself")
        base = _load(other, documents, loaded, (*on_the_way, name))
    loaded[name] = _bundle(documents[name], base)
    return loaded[name]


def parse_bundle(source: str, file: str = "<text>", base: PolicyBundle | None = None) -> PolicyBundle:
    """One bundle from its text; `base` is the bundle that it extends. Raises PolicyError."""
    return _bundle(read(source, file), base)


def _bundle(document: Located, base: PolicyBundle | None) -> PolicyBundle:
    keys = document.mapping(*_KEYS)
    if "extends" in keys and keys["extends"].text() != (base.name if base else None):
        raise keys["extends"].error("the bundle that this extends was not given")
    for key in ("name", "messages") if base is None else ("name",):
        if key not in keys:
            raise document.error(f"the key {key!r} is missing")
    name = keys["name"].text()
    if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii():
        raise keys["name"].error("must consist of letters, digits, - and _")
    limit = int(keys["limit_ms"].number(1, 600_000)) if "limit_ms" in keys else DEFAULT_LIMIT_MS
    entries = _entries(keys.get("checks"), base, limit)
    if not entries:
        raise document.error("a bundle without checks allows everything", "Add `checks`")
    messages = _messages(keys.get("messages"), base)
    examples = tuple(_example(item) for item in keys["examples"].items()) if "examples" in keys else ()
    description = keys["description"].text() if "description" in keys else ""
    marked = relaxable(
        keys.get("relaxable"),
        {entry.id: entry for entry in entries},
        base.relaxable if base else None,
        {entry.id for entry in entries} - {entry.id for entry in base.entries if base} if base else set(),
    )
    overrides = _overrides(document, base, entries, marked, limit)
    bundle = _assembled(name, description, base, entries, messages, examples, document.file, overrides, marked)
    _prove(bundle)
    for item in keys["overrides"].items() if "overrides" in keys else ():
        _prove_override(bundle, item.mapping())
    return bundle


def _overrides(
    document: Located,
    base: PolicyBundle | None,
    entries: tuple[Entry, ...],
    marked: Mapping[str, tuple[str, ...]],
    limit: int,
) -> tuple[Override, ...]:
    """The overrides of a bundle: its base's, which it cannot leave out, and its own."""
    located = document.mapping().get("overrides")
    found = {override.id: override.within(marked) for override in base.overrides} if base else {}
    by_id = {entry.id: entry for entry in entries}
    before = {entry.id: entry for entry in base.entries} if base else {}
    for override in found.values():
        for entry in (*override.tightening, *override.relaxing):
            if by_id.get(entry.id) != before.get(entry.id):
                raise document.error(
                    f"the check {entry.id!r} is changed here, and the override {override.id!r} of the bundle that this "
                    "extends names it, so that the override would undo the change",
                    "Leave the check as it is, and tighten it by an override for collections or roles",
                )
    for item in located.items() if located else ():
        own = item.mapping(*OVERRIDE_KEYS)
        words = _words(own["messages"]) if "messages" in own else {}
        override = parse(item, by_id, marked, lambda one: _entry(one, limit), _must_tighten, words)
        if override.id in found:
            raise item.error(f"there is an override {override.id!r} already", "Choose another id")
        found[override.id] = override
    return tuple(found.values())


def _prove_override(bundle: PolicyBundle, keys: Mapping[str, Located]) -> None:
    """Run the examples of an override on the bundle with it alone. Raises PolicyError."""
    if "examples" in keys:
        examples = tuple(_example(item) for item in keys["examples"].items())
        _prove(replace(bundle.variant([keys["id"].text()]), examples=examples))


def _assembled(
    name: str,
    description: str,
    base: PolicyBundle | None,
    entries: tuple[Entry, ...],
    messages: Mapping[str, Mapping[str, str]],
    examples: tuple[Example, ...],
    file: str,
    overrides: tuple[Override, ...],
    marked: Mapping[str, tuple[str, ...]],
) -> PolicyBundle:
    lineage = (name, *(base.lineage if base else ()))
    version = _version(name, base, entries, messages, overrides, marked)
    rules: dict[Stage, tuple[Rule, ...]] = {
        stage: tuple(
            Rule(e.id, e.check, stage, e.stages[stage], e.limit_ms / 1000, version)
            for e in entries
            if stage in e.stages
        )
        for stage in STAGES
    }
    seen: dict[str, Rule] = {}
    for stage in STAGES:
        for rule in rules[stage]:
            if rule.check.masks:
                seen.setdefault(rule.id, rule)
    return PolicyBundle(
        name, description, lineage, entries, messages, examples, version, file, rules, tuple(seen.values()), overrides,
        marked,
    )  # fmt: skip


# --- checks ---------------------------------------------------------------------------------------------------------


def _entries(located: Located | None, base: PolicyBundle | None, limit: int) -> tuple[Entry, ...]:
    found = {entry.id: entry for entry in base.entries} if base else {}
    mine: set[str] = set()
    for item in located.items() if located else ():
        entry = _entry(item, limit)
        if entry.id in mine:
            raise item.error(f"the id {entry.id!r} stands twice", "Give one of the entries another `id`")
        mine.add(entry.id)
        if entry.id in found:
            _must_tighten(item, entry, found[entry.id])
        found[entry.id] = entry
    return tuple(found.values())


def _entry(located: Located, limit: int) -> Entry:
    keys = located.mapping("check", "id", "stages", "limit_ms", "with")
    for key in ("check", "stages"):
        if key not in keys:
            raise located.error(f"the key {key!r} is missing")
    kind = keys["check"].among(tuple(CHECKS))
    identity = keys["id"].text() if "id" in keys else kind
    stages = keys["stages"].mapping(*STAGES)
    if not stages:
        raise keys["stages"].error("names no stage")
    bands = {stage: _bands(stages[stage]) for stage in STAGES if stage in stages}
    if "limit_ms" in keys:
        limit = int(keys["limit_ms"].number(1, 600_000))
    return Entry(identity, _configured(CHECKS[kind], keys.get("with")), bands, limit)


def _bands(located: Located) -> tuple[Band, ...]:
    """`block`, or `{flag: 0.4, block: 0.8}`."""
    if isinstance(located.value, str):
        action = located.among(ACTIONS)
        return (Band(DEFAULT_THRESHOLD, action),)  # type: ignore[arg-type]
    given = located.mapping(*ACTIONS)
    bands = [Band(given[action].number(0.000001, 1), action) for action in ACTIONS if action in given]
    if not bands:
        raise located.error("names no action", f"Actions: {', '.join(ACTIONS)}")
    if any(a.threshold >= b.threshold for a, b in pairwise(bands)):
        raise located.error("a more severe action needs a higher threshold")
    return tuple(bands)


def _configured(kind: type[Check], located: Located | None) -> Check:
    specs = {spec.name: spec for spec in fields(kind)}
    values: dict[str, Any] = {}
    given = located.mapping(*specs) if located else {}
    if given and not specs:
        raise located.error("this check has no parameters")  # type: ignore[union-attr]
    for name, item in given.items():
        default, known = specs[name].default, specs[name].metadata["known"]
        if isinstance(default, tuple):
            values[name] = tuple(x.among(known) if known else x.text() for x in item.items())
        else:
            number = item.number(1, 2**31)
            if number != int(number):
                raise item.error("must be a whole number")
            values[name] = int(number)
    return kind(**values)


def _must_tighten(located: Located, entry: Entry, base: Entry) -> None:
    hint = "A bundle that extends another can only tighten it"
    if type(entry.check) is not type(base.check):
        raise located.error(f"the id {entry.id!r} is another check in the bundle that this extends", hint)
    looser = entry.check.loosens(base.check)
    if looser is not None:
        raise located.error(f"with.{looser} is laxer than in the bundle that this extends", hint)
    for stage, bands in base.stages.items():
        for band in bands:
            if not any(
                mine.threshold <= band.threshold and SEVERITY[mine.action] >= SEVERITY[band.action]
                for mine in entry.stages.get(stage, ())
            ):
                raise located.error(
                    f"{stage}: {band.action} from {band.threshold:g} on is missing or laxer than in the bundle that "
                    "this extends",
                    hint,
                )


# --- messages -------------------------------------------------------------------------------------------------------


def _messages(located: Located | None, base: PolicyBundle | None) -> Mapping[str, Mapping[str, str]]:
    found = {language: dict(words) for language, words in base.messages.items()} if base else {}
    for language, words in (_words(located) if located else {}).items():
        found.setdefault(language, {}).update(words)
    if located is not None and "blocked" not in found.get("en", {}):
        raise located.error("the message `blocked` in English is missing", "It stands for every reason without its own")
    return found


def _words(located: Located) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for language, item in located.mapping().items():
        if len(language) != 2 or not language.isalpha() or not language.islower():
            raise item.error("must be a language code of two letters (ISO 639-1)")
        found[language] = {reason: text.text().strip() for reason, text in item.mapping().items()}
    return found


# --- version --------------------------------------------------------------------------------------------------------


@cache
def code_hash(module: str) -> str:
    """SHA-256 of the source of a module that is already imported."""
    file = sys.modules[module].__file__
    if file is None:
        raise PolicyError(f"the source of {module} cannot be found", hint="Install fiel with its sources")
    return digest(Path(file).read_bytes())


def _version(
    name: str,
    base: PolicyBundle | None,
    entries: tuple[Entry, ...],
    messages: Mapping[str, Mapping[str, str]],
    overrides: tuple[Override, ...],
    marked: Mapping[str, tuple[str, ...]],
) -> str:
    return digest_of(
        {
            "format": _FORMAT,
            "name": name,
            "extends": base.version if base else None,
            "code": {module: code_hash(module) for module in _SHARED},
            "checks": [_canonical(entry) for entry in entries],
            "messages": {language: dict(words) for language, words in messages.items()},
            "overrides": [canonical(override, _canonical) for override in overrides],
            "relaxable": {check: sorted(roles) for check, roles in marked.items()},
        }
    )


def _canonical(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "check": entry.check.name,
        "code": {module: code_hash(module) for module in (type(entry.check).__module__, *entry.check.modules)},
        "heads": {name: hash_of(name) for name in entry.check.heads},
        "with": entry.check.parameters(),
        "limit_ms": entry.limit_ms,
        "stages": {
            stage: {band.action: decimal(band.threshold) for band in bands} for stage, bands in entry.stages.items()
        },
    }


# --- examples -------------------------------------------------------------------------------------------------------


def _example(located: Located) -> Example:
    keys = located.mapping("stage", "text", "expect", "reason", "becomes", "facts")
    for key in ("stage", "text", "expect"):
        if key not in keys:
            raise located.error(f"the key {key!r} is missing")
    facts = keys["facts"].mapping(*FACTS) if "facts" in keys else {}
    stage: Stage = keys["stage"].among(STAGES)  # type: ignore[assignment]
    return Example(
        stage,
        keys["text"].text(),
        keys["expect"].among(("allow", *ACTIONS)),
        keys["reason"].text() if "reason" in keys else "",
        keys["becomes"].text() if "becomes" in keys else "",
        {name: item.text() for name, item in facts.items()},
        f"{located.file}, line {located.line}",
    )


def _prove(bundle: PolicyBundle) -> None:
    """Run the bundle's examples. Raises PolicyError for the first that comes out otherwise."""
    from fiel.policies.plain import decide

    for example in bundle.examples:
        decision = decide(bundle, example.stage, (example.text,), example.facts)
        reasons = [v.reason for v in decision.verdicts if v.action == decision.action]
        wrong = (
            decision.action != example.expect
            or (example.reason and example.reason not in reasons)
            or (example.becomes and decision.parts[0] != example.becomes)
        )
        if wrong:
            raise PolicyError(
                f"bundle {bundle.name!r} fails its own example: {example.stage} gives {decision.action} "
                f"({', '.join(reasons) or 'ok'}), not {example.expect} ({example.reason or 'any reason'})",
                where=example.where,
                hint="Change the checks or the example",
            )


__all__ = [
    "BUILT_IN",
    "Entry",
    "Example",
    "FielError",
    "PolicyBundle",
    "code_hash",
    "load_bundles",
    "load_file",
    "parse_bundle",
]
