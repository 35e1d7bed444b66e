"""Plain text: a sentence or a paragraph on each line, a blank line after each document."""

from collections.abc import Iterator, Sequence
from typing import Any

from absl import logging

from bert_jax.text.document import Document, not_utf8
from bert_jax.text.files import InputFile

_RUNS_ON = "%s continues the last document of the file before it; end each file by a blank line to part them"


class PlainText:
    """Text files that follow one another: a document ends at a blank line, not at the end of a file.

    That is the original's rule, and equal text gives the original's instances; where a document does run on, a warning
    shows how to end files.
    """

    def __init__(self, files: Sequence[InputFile]) -> None:
        self._files = files

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self._files)

    @property
    def position(self) -> int:
        """Bytes read of all files."""
        return sum(file.position for file in self._files)

    def identity(self) -> list[list[Any]]:
        """Each file's name, size and digest."""
        return [file.identity() for file in self._files]

    def documents(self) -> Iterator[Document]:
        """The lines between blank lines."""
        sentences: list[str] = []
        begun_in, begun_at, last = "", 0, 0
        for file in self._files:
            if sentences:
                logging.log_first_n(logging.WARNING, _RUNS_ON, 3, file)
            last = last or begun_at + len(sentences)  # past the document's last line in the file that it began in
            for number, line in file.lines():
                if line:
                    if not sentences:
                        begun_in, begun_at, last = str(file), number, 0
                    sentences.append(line)
                    continue
                if sentences:
                    yield Document(sentences, begun_in, range(begun_at, last or number))
                    sentences = []
                if line is None:  # ends the document, too: what is before such a line and after it are no neighbours
                    yield not_utf8(str(file), number)
        if sentences:
            yield Document(sentences, begun_in, range(begun_at, last or begun_at + len(sentences)))
