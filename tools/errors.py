"""One base for every error that fiel raises on purpose: what was wrong, where, and what to do.

The class docstring is the title of the error; `code` is stable and append-only: other people's scripts compare it.
"""

from typing import ClassVar


class FielError(Exception):
    """fiel could not do what was asked."""

    code: ClassVar[str] = "error"
    exit_status: ClassVar[int] = 1
    """Exit status of the command line: 1 the answer is no, 2 usage, 3 a service is unavailable."""

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        advice = f". {self.hint}" if self.hint else ""
        return f"{self.what}{place}{advice}"

    def public(self) -> dict[str, str]:
        """The error as a caller may see it: code, what, where, hint."""
        return {"code": self.code, "what": self.what, "where": self.where, "hint": self.hint}


class UsageError(FielError):
    """The request itself is wrong; asking again in the same way cannot help."""

    code = "usage"
    exit_status = 2


class SettingsError(UsageError):
    """A setting is unknown or has an impossible value."""

    code = "settings"


class CollectionNotFound(UsageError):
    """There is no such collection that the caller may read.

    Unknown and forbidden are the same error on purpose: existence leaks nothing.
    """

    code = "collection_not_found"


class InvalidDocument(UsageError):
    """A document cannot be read: empty, binary, broken, encrypted, too large, or it changed while it was read."""

    code = "invalid_document"


class Unavailable(FielError):
    """A service that this needs does not answer, or not in time."""

    code = "unavailable"
    exit_status = 3


class DatabaseUnavailable(Unavailable):
    """PostgreSQL does not answer."""

    code = "database_unavailable"


class ModelUnavailable(Unavailable):
    """A model (chat, embedding, reranker, judge, guard) failed, hung, or answered what cannot be read."""

    code = "model_unavailable"


class ModelTimeout(ModelUnavailable):
    """A model did not answer in time."""

    code = "model_timeout"


class StreamLost(ModelUnavailable):
    """An answer that was being written is not in this process any more."""

    code = "stream_lost"


class ModelBusy(ModelUnavailable):
    """A model's endpoint says that too much is asked of it, and went on saying so."""

    code = "model_busy"


class ModelRejected(ModelUnavailable):
    """A model's endpoint refuses the request: key, address, model name or what was sent. Asking again cannot help."""

    code = "model_rejected"


class ModelUnreadable(ModelUnavailable):
    """What a model answered cannot be read: no JSON, wrong shape, too long, cut off, not what the schema asks for."""

    code = "model_unreadable"


class ModelFiltered(ModelUnavailable):
    """A model, or the filter in front of it, refused to write an answer."""

    code = "model_filtered"


class NotProven(FielError):
    """A draft was about to be released without the entries that earn it."""

    code = "not_proven"


class NotPermitted(UsageError):
    """The caller lacks the role that this needs. Says nothing about whether what was named exists."""

    code = "not_permitted"


class DocumentPath(InvalidDocument):
    """A path cannot be ingested: missing, no permission, a link that loops or leaves the folder, no regular file."""

    code = "document_path"


class DocumentEmpty(InvalidDocument):
    """A document holds no text."""

    code = "document_empty"


class DocumentBinary(InvalidDocument):
    """A file is none of the formats that can be read."""

    code = "document_binary"


class DocumentEncoding(InvalidDocument):
    """A text file is not in the encoding that it must have or that it declares."""

    code = "document_encoding"


class DocumentBroken(InvalidDocument):
    """A file is damaged, or not what it says it is."""

    code = "document_broken"


class DocumentEncrypted(InvalidDocument):
    """A file is protected by a password."""

    code = "document_encrypted"


class DocumentTooLarge(InvalidDocument):
    """A file, or the text in it, exceeds a limit of size, depth or time."""

    code = "document_too_large"


class DocumentChanged(InvalidDocument):
    """A file changed while it was read."""

    code = "document_changed"


class PolicyError(UsageError):
    """A policy bundle is missing, cannot be read, loosens the bundle that it extends, or fails its own examples."""

    code = "policy"


def kinds() -> dict[str, type[FielError]]:
    """Every error of fiel that is imported, by its code; of several with one code the most general."""
    found: dict[str, type[FielError]] = {}
    waiting: list[type[FielError]] = [FielError]
    while waiting:
        kind = waiting.pop(0)
        if isinstance(code := kind.__dict__.get("code"), str):
            found.setdefault(code, kind)
        waiting += kind.__subclasses__()
    return found
