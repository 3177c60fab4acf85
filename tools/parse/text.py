"""Plain text: the file as it is, decoded."""

from fiel.tools.parse import Parsed
from fiel.tools.parse.build import MIB, check_text, clean, require_text, stem
from fiel.tools.parse.decode import decode
from fiel.tools.parse.media import TEXT


class TextParser:
    """The text is the file's, character by character (line ends too); control characters are replaced."""

    version = "text:1"

    def __init__(self, max_text: int = 16 * MIB) -> None:
        self._max_text = max_text

    def parse(self, data: bytes, *, name: str) -> Parsed:
        text = clean(decode(data, name))
        check_text(text, name, self._max_text)
        require_text(text, name, "it is empty" if not data else "it holds nothing but white space")
        return Parsed(text, stem(name), TEXT)
