"""What in a corpus is probably a mistake: looked for while it is read, told with file and line; nothing is changed.

Looking is cheap, for there is as much to look at as to read: first what costs a nanosecond a byte or less, and more of
it only where that finds something.
"""

import dataclasses
import re
import string
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import logging

from bert_jax.errors import UserError
from bert_jax.text.document import Document
from bert_jax.text.duplicates import Duplicates
from bert_jax.text.lost_letters import loses_letters

ONE_SENTENCE = "documents of one sentence"
DUPLICATE = "documents that came before"
CONTROL = "documents with control characters"
MISREAD = "documents with replacement characters, or UTF-8 that was read as another encoding"
LOST_LETTERS = "documents with vowel signs or other letters that go with the accents"
NO_LETTERS = "documents of mostly no letters"
LONG_LINE = "documents with a very long line"
LONG_DOCUMENT = "very long documents"
EMPTY = "empty documents"

_MEANING = {
    ONE_SENTENCE: "most are, as if a blank line came after every sentence; a blank line ends a document, and a next "
    "sentence needs two",
    DUPLICATE: "they weigh more than others and may be on both sides of --holdout",
    CONTROL: "they are dropped from the text",
    MISREAD: "convert them to UTF-8 from the encoding that they are in",
    LOST_LETTERS: "the vocabulary drops all combining marks; one made with build_vocab --nostrip_accents keeps them",
    NO_LETTERS: "tables or other data among the text",
    LONG_LINE: "a line is a sentence; --split_sentences cuts paragraphs",
    LONG_DOCUMENT: "a blank line ends a document",
    EMPTY: "they are left out",
}

_LONGEST_LINE = 10_000  # characters
_LONGEST_DOCUMENT = 10_000_000  # characters; the longest novels have three million
_PLACES = 5  # told of each kind
_SHARE_OF_ONE_SENTENCE = 0.5  # of the documents; fewer is how text is

_BYTES_TOGETHER = 1 << 18  # of documents that are searched for control characters at once
_SAMPLES = (256, 4096)  # bytes in the middle of a document, in which letters are counted: a hint, then a closer look
_LETTERS = string.ascii_letters.encode() + b" \n" + bytes(range(128, 256))
_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")  # the last: U+0080 to U+009F
_LATER_CONTROL = re.compile(rb"\xc2[\x80-\x9f]")
# How "é" and "’" look when their UTF-8 was read as Latin-1 or Windows-1252 and written again.
_READ_AS_LATIN = re.compile("Ã[\u0080-\u00bf]|â€")


@dataclasses.dataclass
class Found:
    """How often, and where first."""

    count: int = 0
    places: list[str] = dataclasses.field(default_factory=list)  # "file:line"

    def add(self, place: str) -> None:
        """One more."""
        self.count += 1
        if len(self.places) < _PLACES:
            self.places.append(place)


class Suspicions:
    """Looks at documents one after another."""

    def __init__(self, is_text: bool = True, strips_accents: bool = False) -> None:
        """Begin.

        Args:
            is_text: False for lines of token ids, whose characters say nothing.
            strips_accents: whether the vocabulary drops combining marks.
        """
        self._is_text = is_text
        self._strips_accents = strips_accents
        self._documents = 0
        self._dropped: dict[str, Found] = {}
        self._found = {kind: Found() for kind in _MEANING}
        self._duplicates = Duplicates()
        self._waiting: list[tuple[Document, bytes]] = []  # for _look_for_control
        self._bytes_waiting = 0

    def look_at(self, document: Document) -> None:
        """Take note of one document."""
        if document.dropped:
            self._dropped.setdefault(document.dropped, Found()).add(document.place())
            if document.dropped == "empty":
                self._found[EMPTY].add(document.place())
            return
        self._documents += 1
        text = "\n".join(document.sentences)
        data = text.encode()
        if len(document.sentences) == 1:
            self._found[ONE_SENTENCE].add(document.place())
        if len(data) > _LONGEST_LINE:
            self._look_at_lengths(document)
        if self._is_text:
            self._look_at_characters(document, text, data)
        self._note_duplicates(self._duplicates.add(data, document))

    def report(self) -> dict[str, Any]:
        """Counts and first places: of what is suspicious, and of what was dropped."""
        self._note_duplicates(self._duplicates.rest())
        self._look_for_control()
        if self._found[ONE_SENTENCE].count <= _SHARE_OF_ONE_SENTENCE * self._documents or self._documents < 2:
            self._found[ONE_SENTENCE] = Found()
        return {
            "documents_read": self._documents,
            "dropped": {why: dataclasses.asdict(found) for why, found in self._dropped.items()},
            "suspicious": {kind: dataclasses.asdict(found) for kind, found in self._found.items() if found.count},
        }

    def _note_duplicates(self, places: list[tuple[str, int]]) -> None:
        for file, line in places:
            self._found[DUPLICATE].add(f"{file}:{line}")

    def _look_at_lengths(self, document: Document) -> None:
        for number, sentence in enumerate(document.sentences):
            if len(sentence) > _LONGEST_LINE:
                self._found[LONG_LINE].add(document.place(number))
                break
        if sum(map(len, document.sentences)) > _LONGEST_DOCUMENT:
            self._found[LONG_DOCUMENT].add(document.place())

    def _look_at_characters(self, document: Document, text: str, data: bytes) -> None:
        if all(_has_few_letters(_middle(data, size)) for size in _SAMPLES):
            self._found[NO_LETTERS].add(document.place())
        if not text.isascii() and _is_misread(text):
            self._add_at_sentence(MISREAD, document, _is_misread)
        if self._strips_accents and loses_letters(data):
            self._add_at_sentence(LOST_LETTERS, document, lambda sentence: loses_letters(sentence.encode()))
        self._waiting.append((document, data))
        self._bytes_waiting += len(data)
        if self._bytes_waiting > _BYTES_TOGETHER:
            self._look_for_control()

    def _look_for_control(self) -> None:
        """Look at the documents that wait for it; at each of them only if there is something in any."""
        together = np.frombuffer(b"\n".join(data for _, data in self._waiting), np.uint8)
        line_ends = sum(len(document.sentences) for document, _ in self._waiting) - 1
        is_anywhere = np.count_nonzero(together < ord(" ")) > line_ends
        for document, data in self._waiting:
            if is_anywhere or not data.isascii():
                pattern = _CONTROL if is_anywhere else _LATER_CONTROL
                if pattern.search(data):
                    self._add_at_sentence(CONTROL, document, lambda sentence: bool(_CONTROL.search(sentence.encode())))
        self._waiting, self._bytes_waiting = [], 0

    def _add_at_sentence(self, kind: str, document: Document, is_it: Callable[[str], bool]) -> None:
        """Add the first sentence that it is true of, if any."""
        for number, sentence in enumerate(document.sentences):
            if is_it(sentence):
                self._found[kind].add(document.place(number))
                return


def tell(report: dict[str, Any]) -> None:
    """Log one warning for each kind of suspicious input in a report."""
    for kind, found in report["suspicious"].items():
        places = ", ".join(found["places"]) + (" ..." if found["count"] > len(found["places"]) else "")
        logging.warning("suspicious input: %s %s (%s): %s", f"{found['count']:,}", kind, _MEANING[kind], places)


def refuse(report: dict[str, Any]) -> None:
    """Raise UserError, naming the first, if anything in a report is suspicious."""
    for kind, found in report["suspicious"].items():
        more = len(report["suspicious"]) - 1
        raise UserError(
            f"--strict: {found['count']:,} {kind}, the first at {found['places'][0]}"
            + (f", and {more} other kinds of suspicious input" if more else "")
            + "; mend the text, or leave out --strict"
        )


def _is_misread(text: str) -> bool:
    return "\ufffd" in text or (("Ã" in text or "â" in text) and bool(_READ_AS_LATIN.search(text)))


def _middle(data: bytes, size: int) -> bytes:
    start = max(0, (len(data) - size) // 2)
    return data[start : start + size]


def _has_few_letters(data: bytes) -> bool:
    return 2 * len(data.translate(None, _LETTERS)) > len(data)
