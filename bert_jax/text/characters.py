"""What the rules of BERT (wordpiece.py) and ALBERT make of single characters, as tables for str.translate."""

import unicodedata
from collections.abc import Callable

_IDEOGRAPHS = (
    range(0x4E00, 0xA000),
    range(0x3400, 0x4DC0),
    range(0x20000, 0x2A6E0),
    range(0x2A700, 0x2B740),
    range(0x2B740, 0x2B820),
    range(0x2B820, 0x2CEB0),
    range(0xF900, 0xFB00),
    range(0x2F800, 0x2FA20),
)


class CharacterTable(dict[int, str]):
    """A table for str.translate that works out a character's replacement when it first meets it."""

    def __init__(self, replace: Callable[[str], str]) -> None:
        super().__init__()
        self._replace = replace

    def __missing__(self, codepoint: int) -> str:
        self[codepoint] = replacement = self._replace(chr(codepoint))
        return replacement


def _clean(char: str) -> str:
    if char in " \t\n\r" or unicodedata.category(char) == "Zs":
        return " "
    return "" if char in "\0\ufffd" or unicodedata.category(char) in ("Cc", "Cf") else char


def _clean_as_transformers(char: str) -> str:
    return "" if unicodedata.category(char) == "Co" else _clean(char)


def _is_ideograph(char: str) -> bool:
    return any(ord(char) in ideographs for ideographs in _IDEOGRAPHS)


def cleaning(splits_ideographs: bool, drops_private_use: bool) -> CharacterTable:
    """The table that cleans a text for WordPiece: no controls, one kind of space, and, if so, a space about ideographs.

    `drops_private_use`: as transformers, whose controls are private-use characters too.
    """
    clean = _clean_as_transformers if drops_private_use else _clean
    if not splits_ideographs:
        return CharacterTable(clean)
    return CharacterTable(lambda char: f" {char} " if _is_ideograph(char) else clean(char))


def _split_punctuation(char: str) -> str:
    # Every ASCII symbol counts as punctuation, though Unicode calls some of them ("$", "^") symbols.
    is_ascii_symbol = char.isascii() and char.isprintable() and not char.isalnum() and char != " "
    return f" {char} " if is_ascii_symbol or unicodedata.category(char).startswith("P") else char


def _strip(char: str) -> str:
    return "" if unicodedata.category(char) == "Mn" else char


def _without_combining(char: str) -> str:
    return "" if unicodedata.combining(char) else char


def _strip_and_split(char: str) -> str:
    return _split_punctuation(char) if _strip(char) else ""


SPLIT = CharacterTable(_split_punctuation)
STRIP = CharacterTable(_strip)
STRIP_AND_SPLIT = CharacterTable(_strip_and_split)
UNMARKED = CharacterTable(_without_combining)  # ALBERT's rule: a vowel sign of class 0 stays
