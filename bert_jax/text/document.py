"""What every source of text gives: documents, and where they are from. The sources are files of their own."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol


class Document(NamedTuple):
    """The sentences (or paragraphs) of one document."""

    sentences: list[str]  # stripped, none of them empty
    file: str
    lines: Sequence[int]  # the line of `file`, from 1, where each sentence is; where there are no lines, the record
    dropped: str = ""  # why the document is left out; then it has no sentences and one line

    def place(self, sentence: int = 0) -> str:
        """Where a sentence is, as "file:line"; the last line of `file` for what runs on in the next file."""
        return f"{self.file}:{self.lines[min(sentence, len(self.lines) - 1)]}"


class Source(Protocol):
    """One kind of input, read from its start to its end, once at a time."""

    @property
    def size(self) -> int:
        """Bytes to read, as they are stored; 0 if nobody knows."""

    @property
    def position(self) -> int:
        """Bytes read so far."""

    def identity(self) -> list[list[Any]]:
        """What tells this input apart from another, wherever it lies: a list for each file."""

    def documents(self) -> Iterator[Document]:
        """The documents in order; UserError, naming file and line, for what cannot be read."""
