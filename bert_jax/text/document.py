"""A document and its place in the input, and the interface of the sources that give them."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

BAD_RECORD = "bad records"  # dropped documents that could not be read


class Document(NamedTuple):
    """The sentences (or paragraphs) of one document."""

    sentences: list[str]  # stripped, none of them empty
    file: str
    lines: Sequence[int]  # the line of `file`, from 1, where each sentence is; where there are no lines, the record
    dropped: str = ""  # why the document is left out; then it has no sentences and one line
    mistake: str = ""  # a message that names file and line, if it is left out because it cannot be read
    templates: Sequence[tuple[str, int]] = ()  # of a wiki's page: those left out, and how often

    def place(self, sentence: int = 0) -> str:
        """Where a sentence is, as "file:line"; the last line of `file` for what runs on in the next file."""
        return f"{self.file}:{self.lines[min(sentence, len(self.lines) - 1)]}"


def unreadable(file: str, line: int, mistake: str) -> Document:
    """What a source gives for a record that cannot be read; the corpus alone decides whether that ends the run."""
    return Document([], file, [line], BAD_RECORD, mistake)


def not_utf8(file: str, line: int) -> Document:
    """What a source gives for a line in another encoding."""
    mistake = f"{file}, line {line} is not UTF-8 text; convert it, for example with iconv -f latin1 -t UTF-8"
    return unreadable(file, line, mistake)


class Source(Protocol):
    """One kind of input, read from its start to its end, once at a time."""

    @property
    def size(self) -> int:
        """Bytes to read, as they are stored; 0 if nobody knows."""

    @property
    def position(self) -> int:
        """Bytes read so far."""

    def identity(self) -> list[list[Any]]:
        """What distinguishes this input from another, in whatever directory: a list for each file."""

    def documents(self) -> Iterator[Document]:
        """The documents in order, those that cannot be read as `unreadable`; UserError for a file that cannot."""
