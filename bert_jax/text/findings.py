"""What the corpus checks find: counted with its first places, logged, and with --strict refused."""

from typing import Any

import msgspec
from absl import logging

from bert_jax.errors import UserError

ONE_SENTENCE = "documents of one sentence"
DUPLICATE = "documents that came before"
CONTROL = "documents with control characters"
MISREAD = "documents with replacement characters, or UTF-8 that was read as another encoding"
LOST_LETTERS = "documents with vowel signs or other letters that go with the accents"
NO_LETTERS = "documents of mostly no letters"
LONG_LINE = "documents with a very long line"
LONG_DOCUMENT = "very long documents"
EMPTY = "empty documents"
HTML = "documents of HTML"
JSON = "documents of JSON"
CAPITALS = "unknown words whose capitals or accents the vocabulary does not have"
NO_CAPITALS = "unknown words of which the vocabulary has capitals, and they are lower-cased"
CHARACTERS = "unknown words with characters that the vocabulary does not have"
LONG_WORD = "unknown words because they are very long"
PIECES = "unknown words that the vocabulary has no pieces for"
UNKNOWN = "unknown tokens"

_MEANING = {
    ONE_SENTENCE: "most are, as if a blank line came after every sentence; a blank line ends a document, and a next "
    "sentence needs two; where a line is a whole text, --split_sentences cuts it",
    DUPLICATE: "they weigh more than others",
    CONTROL: "they are dropped from the text",
    MISREAD: "convert them to UTF-8 from the encoding that they are in",
    LOST_LETTERS: "the vocabulary drops all combining marks; one made with build_vocab --nostrip_accents keeps them",
    NO_LETTERS: "tables or other data among the text",
    LONG_LINE: "a line is a sentence; --split_sentences cuts paragraphs",
    LONG_DOCUMENT: "a blank line ends a document",
    EMPTY: "they are left out",
    HTML: "the markup is read as text; take the text out of the pages",
    JSON: "it is read as text, braces and all; JSON Lines are files that are called .jsonl",
}
_MEANING_UNKNOWN = {
    CAPITALS: "give --do_lower_case, or a cased vocabulary",
    NO_CAPITALS: "give --nodo_lower_case, or an uncased vocabulary",
    CHARACTERS: "give a vocabulary of this language, or build one from this text",
    LONG_WORD: "one of more than 200 characters is one [UNK]; cut them by white space",
    PIECES: "single characters such as a and ##a are missing there; build a vocabulary from this text",
    UNKNOWN: "the vocabulary is not of this text; give another",
}
_PLACES = 5  # kept of each kind
_LOGGED_PLACES = 3  # of them


class Finding(msgspec.Struct, omit_defaults=True):
    """One kind of finding: its number, and the first places."""

    count: int = 0
    places: list[str] = msgspec.field(default_factory=list)  # "file:line"
    examples: list[str] = msgspec.field(default_factory=list)

    def add(self, place: str, example: str = "") -> None:
        """One more."""
        self.count += 1
        if len(self.places) < _PLACES:
            self.places.append(place)
        if example and example not in self.examples and len(self.examples) < _PLACES:
            self.examples.append(example)


class InputReport(msgspec.Struct, omit_defaults=True):
    """The findings in one corpus: "input" in records_report.json."""

    documents_read: int
    dropped: dict[str, Finding]  # by reason
    suspicious: dict[str, Finding]  # by kind, a constant above
    unknown_share: float = 0.0  # of a sample's tokens
    templates_left_out: dict[str, int] = msgspec.field(default_factory=dict)  # of wikis' pages, the most frequent


def warn(report: InputReport) -> None:
    """Log one warning for each kind of suspicious input."""
    for kind, found in report.suspicious.items():
        unknown = f"; {report.unknown_share:.1%} of a sample's tokens are [UNK]" if kind in _MEANING_UNKNOWN else ""
        examples = f", such as {', '.join(found.examples)}" if found.examples else ""
        logging.warning(
            "suspicious input: %s %s%s (%s): %s%s",
            f"{found.count:,}",
            kind,
            examples,
            (_MEANING | _MEANING_UNKNOWN).get(kind, "as an earlier version calls it"),
            _short(found),
            unknown,
        )


def refuse(report: InputReport) -> None:
    """Raise UserError, naming the first, if anything is suspicious."""
    for kind, found in report.suspicious.items():
        more = len(report.suspicious) - 1
        raise UserError(
            f"--strict: {found.count:,} {kind}, the first at {found.places[0]}"
            + (f", and {more} other kinds of suspicious input" if more else "")
            + f"; {_MEANING_UNKNOWN.get(kind, 'fix the text')}, or leave out --strict"
        )


def as_json(report: InputReport) -> dict[str, Any]:
    """The report as JSON's types."""
    return msgspec.to_builtins(report)


def _short(found: Finding) -> str:
    """The first places in few words: a file's name once, and only the first with its directory."""
    words: list[str] = []
    last = ""
    for place in found.places[:_LOGGED_PLACES]:
        file, _, line = place.rpartition(":")
        words.append(line if file == last else f"{file.rpartition('/')[2] if last else file}:{line}")
        last = file
    return ", ".join(words) + (" ..." if found.count > _LOGGED_PLACES else "")
