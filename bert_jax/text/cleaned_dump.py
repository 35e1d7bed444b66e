"""A MediaWiki dump whose pages another process has cleaned: its documents, one a line, in a file of JSON."""

import json
from collections.abc import Iterator
from typing import Any

from etils import epath

from bert_jax.text.document import Document
from bert_jax.text.files import InputFile
from bert_jax.text.mediawiki import MediaWikiDump

CLEANED = ".cleaned"  # the end of such a file's name


def write_cleaned(dump: MediaWikiDump, path: epath.Path) -> None:
    """Clean `dump` into the local file `path`; UserError if it is malformed."""
    with path.open("wb") as file:
        for document in dump.documents():
            place = [document.sentences, list(document.lines), document.dropped]
            content = [*place, document.mistake, document.templates]
            file.write(json.dumps(content, ensure_ascii=False).encode() + b"\n")


class CleanedDump:
    """What is in `path` as a source, in the place of the dump that it was made of."""

    def __init__(self, dump: MediaWikiDump, path: epath.Path) -> None:
        self._dump, self._file = dump, InputFile(path)

    @property
    def size(self) -> int:
        """Bytes of the cleaned file."""
        return self._file.size

    @property
    def position(self) -> int:
        """Bytes read of it."""
        return self._file.position

    def identity(self) -> list[list[Any]]:
        """The dump's, for it decides what the records hold."""
        return self._dump.identity()

    def documents(self) -> Iterator[Document]:
        """The dump's documents."""
        for _, line in self._file.lines():
            if line:
                sentences, lines, dropped, *more = json.loads(line)
                mistake, templates = more or ("", [])  # not there if an earlier version cleaned the dump
                counts = tuple((name, count) for name, count in templates)
                yield Document(sentences, str(self._dump.file), lines, dropped, mistake, counts)
