"""Text from the command line, as fiel may take it."""

from fiel.tools.errors import UsageError


def clean(text: str, where: str) -> str:
    """`text`, if it is text. Raises UsageError: bytes that are no UTF-8 arrive as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            "the text is not UTF-8", where=where, hint="Set a UTF-8 locale, or pass it by --lines"
        ) from error
    return text
