"""Bundles: policy as code. A YAML file becomes a frozen object whose version is the hash of everything that decides.

See `bundles/default.yaml` for the form. A bundle that extends another can only tighten it. What is to decide is loaded
(`load_bundles`), which proves its examples; who only looks reads it (`read_bundles`), which needs no model.
"""

from collections.abc import Mapping
from pathlib import Path

from fiel.policies.bundled import Entry, Example, PolicyBundle, assembled
from fiel.policies.entries import entries_of, entry_of, must_tighten, restore_of
from fiel.policies.examples import example_of, prove
from fiel.policies.located import Located, read
from fiel.policies.overrides import KEYS as OVERRIDE_KEYS
from fiel.policies.overrides import Override, parse, relaxable
from fiel.policies.terms import SILENT, Terms, terms_of
from fiel.tools.errors import PolicyError

DEFAULT_LIMIT_MS = 2_000
BUNDLE_FILES = (".yaml", ".yml")
BUILT_IN = Path(__file__).parent / "bundles"


def load_bundles(folder: Path | str | None = None) -> dict[str, PolicyBundle]:
    """The built-in bundles and those of `folder`, by name, proved by their examples.

    Raises PolicyError: no start without a policy.
    """
    bundles = read_bundles(folder)
    for bundle in bundles.values():
        prove(bundle)
    return bundles


def read_bundles(folder: Path | str | None = None) -> dict[str, PolicyBundle]:
    """The same bundles as they are written, unproved: to be shown and compared, never to decide. Raises PolicyError."""
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


def read_file(file: Path | str, bundles: Mapping[str, PolicyBundle]) -> PolicyBundle:
    """The bundle of one file alone, unproved; it may extend one of `bundles`. Raises PolicyError."""
    document = _document(Path(file))
    keys = document.mapping(*_KEYS)
    base = keys["extends"].text() if "extends" in keys else ""
    if base and base not in bundles:
        raise keys["extends"].error(f"there is no bundle {base!r}", f"There are: {', '.join(sorted(bundles))}")
    return _bundle(document, bundles[base] if base else None)


_KEYS = (
    "name",
    "description",
    "extends",
    "limit_ms",
    "checks",
    "messages",
    "examples",
    "overrides",
    "relaxable",
    "review",
    "restore",
)


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
    """One bundle from its text, proved; `base` is the bundle that it extends. Raises PolicyError."""
    bundle = _bundle(read(source, file), base)
    prove(bundle)
    return bundle


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
    entries = entries_of(keys.get("checks"), base.entries if base else (), limit)
    if not entries:
        raise document.error("a bundle without checks allows everything", "Add `checks`")
    messages = _messages(keys.get("messages"), base)
    examples = _examples(keys)
    description = keys["description"].text() if "description" in keys else ""
    marked = relaxable(
        keys.get("relaxable"),
        {entry.id: entry for entry in entries},
        base.relaxable if base else None,
        {entry.id for entry in entries} - {entry.id for entry in base.entries if base} if base else set(),
    )
    review = terms_of(keys.get("review"), base.review if base else SILENT, alone=base is None)
    overrides = _overrides(document, base, entries, marked, review, limit)
    restore = restore_of(keys.get("restore"), base.restore if base else (), base.entries if base else ())
    return assembled(
        name, description, base, entries, messages, examples, document.file, overrides, marked, review, restore
    )


def _overrides(
    document: Located,
    base: PolicyBundle | None,
    entries: tuple[Entry, ...],
    marked: Mapping[str, tuple[str, ...]],
    review: Terms,
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
        examples = _examples(own)
        override = parse(item, by_id, marked, lambda one: entry_of(one, limit), must_tighten, words, examples, review)
        if override.id in found:
            raise item.error(f"there is an override {override.id!r} already", "Choose another id")
        found[override.id] = override
    return tuple(found.values())


def _examples(keys: Mapping[str, Located]) -> tuple[Example, ...]:
    return tuple(example_of(item) for item in keys["examples"].items()) if "examples" in keys else ()


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


__all__ = [
    "BUILT_IN",
    "Entry",
    "Example",
    "PolicyBundle",
    "load_bundles",
    "parse_bundle",
    "prove",
    "read_bundles",
    "read_file",
]
