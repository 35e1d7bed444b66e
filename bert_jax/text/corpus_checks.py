"""Checks of a corpus for what is probably a mistake, made while it is cut; they never change the records.

They are cheap, since all of the text goes through them: first what costs a nanosecond a byte or less, and more only
where that finds something.
"""

import re
import string
from collections import Counter
from collections.abc import Callable

import numpy as np

from bert_jax.text.document import Document
from bert_jax.text.duplicates import Duplicates
from bert_jax.text.findings import (
    CONTROL,
    DUPLICATE,
    EMPTY,
    HTML,
    JSON,
    LONG_DOCUMENT,
    LONG_LINE,
    LOST_LETTERS,
    MISREAD,
    NO_LETTERS,
    ONE_SENTENCE,
    Finding,
    InputReport,
)
from bert_jax.text.id_sequences import text_of
from bert_jax.text.lost_letters import loses_letters
from bert_jax.text.tokenizer import Tokenizer
from bert_jax.text.unknown_words import UnknownWords

_OF_CHARACTERS = (CONTROL, MISREAD, LOST_LETTERS, NO_LETTERS)
_KINDS = (ONE_SENTENCE, DUPLICATE, *_OF_CHARACTERS, LONG_LINE, LONG_DOCUMENT, EMPTY, HTML, JSON)
_LONGEST_LINE = 10_000  # characters
_LONGEST_DOCUMENT = 10_000_000  # characters; the longest novels have three million
_SHARE_OF_ONE_SENTENCE = 0.5  # of the documents; fewer is how text is

_TEMPLATES_NAMED = 100  # the most frequent
_MOST_TEMPLATES = 100_000  # different names held

_HTML = re.compile(r"<(!doctype html|html)\b", re.IGNORECASE)
_JSON = re.compile(r'\[?\s*\{\s*"[^"\n]*"\s*:')
_BYTES_TOGETHER = 1 << 18  # of documents that are searched for control characters at once
_SAMPLES = (256, 4096)  # bytes of a document's middle whose letters are counted; the second if the first has few
_LETTERS = string.ascii_letters.encode() + b" \n" + bytes(range(128, 256))
_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")  # the last: U+0080 to U+009F
_LATER_CONTROL = re.compile(rb"\xc2[\x80-\x9f]")
# How "é" and "’" look when their UTF-8 was read as Latin-1 or Windows-1252 and written again.
_READ_AS_LATIN = re.compile("Ã[\u0080-\u00bf]|â€")


class CorpusChecks:
    """Checks documents one after another."""

    def __init__(self, tokenizer: Tokenizer | None = None, has_ids: bool = False) -> None:
        """Args:
        tokenizer: what the text is for; without one, unknown words and dropped letters are not looked for.
        has_ids: whether ids follow the text of each line (id_sequences.py).
        """
        self._has_ids = has_ids
        self._is_text = tokenizer is None or tokenizer.kind != "ids"  # or else characters have no meaning
        self._strips_accents = tokenizer is not None and tokenizer.strip_accents
        self._documents = 0
        self._dropped: dict[str, Finding] = {}
        self._found = {kind: Finding() for kind in _KINDS}
        self._templates: Counter[str] = Counter()
        self._duplicates = Duplicates()
        self._unknown = UnknownWords(tokenizer) if tokenizer is not None else None
        self._waiting: list[tuple[Document, bytes]] = []  # for _check_control
        self._bytes_waiting = 0

    def check(self, document: Document) -> None:
        """Count what is suspicious in one document, with its place."""
        if document.templates:
            self._count_templates(document)
        if document.dropped:
            self._dropped.setdefault(document.dropped, Finding()).add(document.place())
            if document.dropped == "empty":
                self._found[EMPTY].add(document.place())
            return
        self._documents += 1
        text = "\n".join(document.sentences)
        data = text.encode()
        if len(document.sentences) == 1 and not self._has_ids:
            self._found[ONE_SENTENCE].add(document.place())
        if len(data) > _LONGEST_LINE:
            self._check_lengths(document)
        words = document
        if self._has_ids:
            words = document._replace(sentences=[text_of(line) for line in document.sentences])
            text = "\n".join(words.sentences)
        if self._is_text and text:
            self._check_characters(words, text, text.encode() if self._has_ids else data)
        if self._unknown is not None:
            self._unknown.sample(words)
        self._note_duplicates(self._duplicates.add(data, document))

    def report(self) -> InputReport:
        """Counts and first places: of what is suspicious, and of what was dropped."""
        self._note_duplicates(self._duplicates.rest())
        self._check_control()
        if self._found[ONE_SENTENCE].count <= _SHARE_OF_ONE_SENTENCE * self._documents or self._documents < 2:
            self._found[ONE_SENTENCE] = Finding()
        suspicious = {kind: found for kind, found in self._found.items() if found.count}
        return InputReport(
            documents_read=self._documents,
            dropped=self._dropped,
            suspicious=suspicious | (self._unknown.causes() if self._unknown else {}),
            unknown_share=round(self._unknown.share(), 6) if self._unknown else 0.0,
            templates_left_out=dict(self._templates.most_common(_TEMPLATES_NAMED)),
        )

    def _count_templates(self, document: Document) -> None:
        for name, count in document.templates:
            self._templates[name] += count
        if len(self._templates) > _MOST_TEMPLATES:  # a wiki has some hundred thousand
            self._templates = Counter(dict(self._templates.most_common(_MOST_TEMPLATES // 2)))

    def _note_duplicates(self, places: list[tuple[str, int]]) -> None:
        for file, line in places:
            self._found[DUPLICATE].add(f"{file}:{line}")

    def _check_lengths(self, document: Document) -> None:
        for number, sentence in enumerate(document.sentences):
            if len(sentence) > _LONGEST_LINE:
                self._found[LONG_LINE].add(document.place(number))
                break
        if sum(map(len, document.sentences)) > _LONGEST_DOCUMENT:
            self._found[LONG_DOCUMENT].add(document.place())

    def _check_characters(self, document: Document, text: str, data: bytes) -> None:
        if text[0] in "<{[":
            self._check_markup(document, text)
        if all(_has_few_letters(_middle(data, size)) for size in _SAMPLES):
            self._found[NO_LETTERS].add(document.place())
        if not text.isascii() and _is_misread(text):
            self._add_at_sentence(MISREAD, document, _is_misread)
        if self._strips_accents and loses_letters(data):
            self._add_at_sentence(LOST_LETTERS, document, lambda sentence: loses_letters(sentence.encode()))
        self._waiting.append((document, data))
        self._bytes_waiting += len(data)
        if self._bytes_waiting > _BYTES_TOGETHER:
            self._check_control()

    def _check_markup(self, document: Document, text: str) -> None:
        if _HTML.match(text):
            self._found[HTML].add(document.place())
        elif _JSON.match(text):
            self._found[JSON].add(document.place())

    def _check_control(self) -> None:
        """Search the waiting documents for control characters, one by one only if there are any in all together."""
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


def _is_misread(text: str) -> bool:
    return "\ufffd" in text or (("Ã" in text or "â" in text) and bool(_READ_AS_LATIN.search(text)))


def _middle(data: bytes, size: int) -> bytes:
    start = max(0, (len(data) - size) // 2)
    return data[start : start + size]


def _has_few_letters(data: bytes) -> bool:
    return 2 * len(data.translate(None, _LETTERS)) > len(data)
