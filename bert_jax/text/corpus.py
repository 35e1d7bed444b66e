"""Inputs to documents, one at a time: a corpus never has to fit into memory.

The front of the sources, which are files of their own: plain_text.py, json_lines.py, mediawiki.py, tfds_dataset.py and
python_docs.py. Files may be .gz, .bz2 or .xz (files.py). What becomes of documents, and which of their lines hold no
token, is not decided here.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from absl import logging
from etils import epath

from bert_jax.errors import UserError
from bert_jax.text import python_docs, tfds_split
from bert_jax.text.corpus_checks import CorpusChecks
from bert_jax.text.document import Document, Source
from bert_jax.text.files import InputFile, matching_files
from bert_jax.text.json_lines import JsonLines
from bert_jax.text.mediawiki import MediaWikiDump
from bert_jax.text.plain_text import PlainText
from bert_jax.text.sentences import sentences_of
from bert_jax.text.tfds_dataset import TfdsDataset

TEXT_FIELD = "text"

# Of the flags that two verbs have.
INPUT_HELP = (
    "What to read, in order, with commas between: files or globs, local or gs://, of plain text (a blank line ends a "
    "document), .jsonl or MediaWiki dumps (.xml), each also .gz, .bz2 or .xz; tfds:NAME/CONFIG:SPLIT; python-docs for "
    "the documentation on this machine."
)
TEXT_FIELD_HELP = "Field with the text, in .jsonl files and TFDS examples."
SKIP_BAD_RECORDS_HELP = (
    "How many unreadable lines, examples or pages of text to skip: not UTF-8, not the expected JSON, damaged, or not "
    "understood by the parser. Each is logged; one more ends the run."
)

_LOGGED = 10  # of the bad records that are left out
_COMPRESSED = r"(\.(gz|bz2|xz))?"
_JSON_LINES = re.compile(rf".*\.(jsonl|ndjson|jsonlines){_COMPRESSED}", re.IGNORECASE)
# Dumps in several files are called enwiki-20240601-pages-articles1.xml-p1p41242.bz2.
_MEDIAWIKI = re.compile(rf".*\.xml(-p\d+p\d+[^.]*)?{_COMPRESSED}", re.IGNORECASE)


class Corpus:
    """Everything that `inputs` name; it may be read more than once, but not twice at a time.

    Attributes:
        name: the inputs, for messages.
    """

    def __init__(
        self,
        inputs: Sequence[str],
        split_sentences: bool = False,
        text_field: str = TEXT_FIELD,
        num_workers: int = 1,
        skip_bad_records: int = 0,
    ) -> None:
        """Find the inputs.

        Args:
            inputs: files or globs of them, `tfds:NAME/CONFIG:SPLIT`, and `python-docs`, in the order in which they
                are read. Names decide what a file is: .jsonl, .xml (a MediaWiki dump), anything else plain text.
            split_sentences: split every line into sentences (for text that has paragraphs on its lines).
            text_field: which field of JSON Lines and of TFDS' examples holds the text.
            num_workers: processes that clean the pages of a MediaWiki dump.
            skip_bad_records: how many records that cannot be read may be left out, each time the corpus is
                read; see SKIP_BAD_RECORDS_HELP.

        Raises:
            UserError: there is no such file or dataset, or what reads it is not installed.
        """
        self.name = ", ".join(inputs)
        self._split_sentences = split_sentences
        self._skip_bad_records = skip_bad_records
        self._logged: set[str] = set()  # messages on bad records
        self._sources = _sources(inputs, text_field, num_workers)

    @property
    def size(self) -> int:
        """Bytes of all inputs as they are stored, as far as that is known."""
        return sum(source.size for source in self._sources)

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return sum(source.position for source in self._sources)

    @property
    def has_paragraphs(self) -> bool:
        """Whether there is an input whose lines are paragraphs, as far as that is known before it is read."""
        return any(isinstance(source, MediaWikiDump | TfdsDataset) for source in self._sources)

    @property
    def dumps(self) -> list[MediaWikiDump]:
        """The dumps among the inputs: their pages take longest to clean, and may be cleaned elsewhere."""
        return [source for source in self._sources if isinstance(source, MediaWikiDump)]

    def replace(self, source: Source, by: Source) -> None:
        """Read `by` in the place of `source`, one of the inputs, of which it must give the documents."""
        self._sources[self._sources.index(source)] = by

    def identity(self) -> list[list[Any]]:
        """What a rerun compares to notice other input: each file's name, size in bytes, and a digest of its ends.

        Names are without their directory, so that a corpus may be moved.
        """
        return [part for source in self._sources for part in source.identity()]

    def documents(self, checks: CorpusChecks | None = None) -> Iterator[Document]:
        """Yield each document, its sentences stripped and none of them empty; all of them go to `checks`, too.

        Raises:
            UserError: a file is truncated, malformed or no text, more records than may be skipped cannot be read, or
                there is no text in any of them.
        """
        empty, bad = True, 0
        for document in (document for source in self._sources for document in source.documents()):
            if document.mistake:
                bad += 1
                self._skip(document.mistake, bad)
            found = _split(document) if self._split_sentences else document
            if checks is not None:
                checks.check(found)
            if not found.dropped:
                empty = False
                yield found
        if bad > _LOGGED:
            what = "left out: %s records that could not be read, the first %d logged above"
            logging.warning(what, f"{bad:,}", _LOGGED)
        if empty:
            raise UserError(f"there is no text in {self.name}; give files that hold some with --input")

    def _skip(self, mistake: str, number: int) -> None:
        """Leave out a bad record, the `number`th, or raise UserError if that is one too many."""
        limit = self._skip_bad_records
        if number > limit:
            before = f", {limit} were left out before" if limit else ""
            raise UserError(f"{mistake}; or leave out up to N such records with --skip_bad_records=N{before}")
        if mistake not in self._logged and len(self._logged) < _LOGGED:
            self._logged.add(mistake)
            logging.warning("left out: %s", mistake)


def documents(inputs: Sequence[str], split_sentences: bool = False) -> Iterator[list[str]]:
    """Yield the sentences of each document of `inputs`; see Corpus."""
    corpus = Corpus(inputs, split_sentences)
    return (document.sentences for document in corpus.documents())


def _sources(inputs: Sequence[str], text_field: str, num_workers: int) -> list[Source]:
    sources: list[Source] = []
    plain: list[InputFile] = []  # plain files in a row are one source: a document may run on
    for given in inputs:
        if given == python_docs.NAME:
            sources += [*_plain_text(plain), python_docs.PythonDocs()]
        elif given.startswith(tfds_split.PREFIX):
            sources += [*_plain_text(plain), TfdsDataset(given, text_field)]
        else:
            for path in matching_files(given):
                sources += _of_file(path, plain, text_field, num_workers)
    sources += _plain_text(plain)
    if not sources:
        raise UserError("no input is given; name text files, or python-docs, with --input")
    return sources


def _of_file(path: epath.Path, plain: list[InputFile], text_field: str, num_workers: int) -> list[Source]:
    """The sources that are complete with this file; one of plain text joins `plain`."""
    file = InputFile(path)
    if _JSON_LINES.fullmatch(path.name):
        return [*_plain_text(plain), JsonLines(file, text_field)]
    if _MEDIAWIKI.fullmatch(path.name):
        return [*_plain_text(plain), MediaWikiDump(file, num_workers)]
    plain.append(file)
    return []


def _plain_text(files: list[InputFile]) -> list[Source]:
    """A source of the files collected so far, if any; the collection begins anew."""
    found: list[Source] = [PlainText(list(files))] if files else []
    files.clear()
    return found


def _split(document: Document) -> Document:
    sentences: list[str] = []
    lines: list[int] = []
    for number, paragraph in enumerate(document.sentences):
        found = sentences_of(paragraph)
        sentences += found
        lines += [document.lines[min(number, len(document.lines) - 1)]] * len(found)
    return document._replace(sentences=sentences, lines=lines or document.lines)
