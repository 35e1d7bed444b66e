"""Letters that go with the accents: vowels of Indic scripts, Thai, Arabic and Hebrew, the voiced kana of Japanese.

Unicode counts them among the nonspacing marks (Mn), as it does the accents of Latin, Greek and Cyrillic, so an uncased
WordPiece drops both; but a word without these is another word.
"""

import functools
import re
import unicodedata
from collections.abc import Iterable

# Blocks of scripts that have such marks. Accents of any script, variation selectors and the like are in other blocks.
_BLOCKS = (*range(0x0590, 0x1AB0), *range(0x1B00, 0x1CD0), *range(0x3040, 0x3100), *range(0xA800, 0xAC00))
_HEBREW_FORMS = range(0xFB1D, 0xFB50)
_HIGH = re.compile("[\U00010000-\U0010ffff]+")
_HIGH_BLOCKS = (*range(0x10A00, 0x12000), *range(0x1E000, 0x1E960))
# How their characters begin in UTF-8: a byte is soon found, or found to be absent.
_HIGH_LEAD = b"\xf0"
_LEADS = [*(bytes([lead]) for lead in (*range(0xD6, 0xE2), 0xE3, 0xEA, 0xEF)), _HIGH_LEAD]
_ASCII = bytes(range(0x80))


def loses_letters(data: bytes) -> bool:
    """Whether dropping nonspacing marks takes letters from a text, of which `data` is the UTF-8."""
    if data.isascii() or not any(lead in data for lead in _LEADS):
        return False
    text = data.translate(None, _ASCII).decode()
    low, high = _losing()
    return bool(low.search(text)) or bool(_HIGH_LEAD in data and high.search("".join(_HIGH.findall(text))))


@functools.cache
def _losing() -> tuple[re.Pattern[str], re.Pattern[str]]:
    # Two, since Python looks up characters of the basic plane in a bitmap, but goes through those of others one by one.
    return _one_of([*_BLOCKS, *_HEBREW_FORMS]), _one_of(_HIGH_BLOCKS)


def _one_of(numbers: Iterable[int]) -> re.Pattern[str]:
    """A character that is such a mark, or has one in it: か with its voicing mark is one character, too."""
    losing = [char for char in map(chr, numbers) if any(map(_is_mark, unicodedata.normalize("NFD", char)))]
    return re.compile(f"[{''.join(losing)}]")


def _is_mark(char: str) -> bool:
    return unicodedata.category(char) == "Mn"
