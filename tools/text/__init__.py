"""Reading text without a model: sentences with offsets, words, numbers and names, in English, Spanish and others.

Everything here is pure and fast, and works on code points. Lists of words are kept for some languages; a language
without a list still gets sentences, words, numbers and names.
"""

from fiel.tools.text.names import names
from fiel.tools.text.numbers import numbers
from fiel.tools.text.sentences import sentences
from fiel.tools.text.span import Span
from fiel.tools.text.words import Word, content, fold, stem, words

__all__ = ["Span", "Word", "content", "fold", "names", "numbers", "sentences", "stem", "words"]
