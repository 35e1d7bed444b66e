"""Text to sentences, with sentencex: the one place that knows where it fails.

English rules: sentencex has them for many languages, but nothing says which one a corpus is in.
"""

import re
from itertools import accumulate, pairwise

import sentencex
from absl import logging

# White space that takes several bytes in UTF-8, just before the period of a single capital ("Plan B ."): sentencex
# 1.0.32 looks one byte back there, into the middle of a character, and panics.
_WIDE_SPACE = "\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_PANICS = re.compile(rf"(?<![^\s./])([A-Z]\s*)[{_WIDE_SPACE}](?=\.)")


def sentences_of(text: str) -> list[str]:
    """The sentences of a paragraph, stripped, and none of them empty."""
    # A plain space in that place is white space to every rule as well, so the cuts are those that were meant. Catching
    # the panic alone would be no better: it prints a backtrace for each, and they are many in text with such spaces.
    lengths = _lengths(_PANICS.sub(r"\1 ", text))
    found = (text[start:stop].strip() for start, stop in pairwise(accumulate(lengths, initial=0)))
    return [sentence for sentence in found if sentence]


def _lengths(text: str) -> list[int]:
    """The characters of each sentence; together they are all of the text."""
    try:
        return [len(sentence) for sentence in sentencex.segment("en", text)]
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # Rust's, which is no Exception, and which nothing exports
            raise
        logging.warning("kept as one sentence, for sentencex fails on it: %.80r", text)
        return [len(text)]
