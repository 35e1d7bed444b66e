"""JSON Lines: a document a line, its text in one field, as a string, a list of sentences, or lists of token ids."""

import json
from collections.abc import Iterator
from typing import Any

from bert_jax.errors import UserError
from bert_jax.text.document import Document
from bert_jax.text.files import InputFile


class JsonLines:
    """A file of JSON objects, one a line; blank lines are passed over."""

    def __init__(self, file: InputFile, text_field: str) -> None:
        self._file, self._field = file, text_field

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._file.size

    @property
    def position(self) -> int:
        """Bytes read of it."""
        return self._file.position

    def identity(self) -> list[list[Any]]:
        """The file's name, size and digest, and the field."""
        return [[*self._file.identity(), self._field]]

    def documents(self) -> Iterator[Document]:
        """A document a line; an empty one is dropped."""
        for number, line in enumerate(self._file.lines(), start=1):
            if not line:
                continue
            sentences = [text for text in map(str.strip, self._texts(line, number)) if text]
            if sentences:
                yield Document(sentences, str(self._file), [number] * len(sentences))
            else:
                yield Document([], str(self._file), [number], "empty")

    def _texts(self, line: str, number: int) -> list[str]:
        try:
            value = json.loads(line)
        except ValueError as error:
            raise UserError(f"{self._file}, line {number} is not JSON ({error}); mend or remove it") from None
        if not isinstance(value, dict):
            raise UserError(f'{self._file}, line {number} is no JSON object; each line is one, as in {{"text": ...}}')
        if self._field not in value:
            raise UserError(
                f"{self._file}, line {number} has no field {self._field!r} but {', '.join(value) or 'none'}; "
                "name the one that holds the text with --text_field"
            )
        texts = _lines_of(value[self._field])
        if texts is not None and "\\u" in line and not _is_unicode(texts):
            raise UserError(f"{self._file}, line {number} has half of a surrogate pair, which is no text; mend it")
        if texts is None:
            raise UserError(
                f"{self._file}, line {number}: {self._field!r} is neither text, nor a list of sentences, nor ids; "
                "correct it, or name another field with --text_field"
            )
        return texts


def _lines_of(value: Any) -> list[str] | None:
    """The lines of a text, of a list of texts, of a list of ids (one line) or of a list of those; None if none."""
    if isinstance(value, str):
        return value.split("\n")
    if not isinstance(value, list):
        return None
    if _are_ids(value):
        return [" ".join(map(str, value))]
    if all(isinstance(part, str) for part in value):
        return [line for part in value for line in part.split("\n")]
    if all(isinstance(part, list) and _are_ids(part) for part in value):
        return [" ".join(map(str, part)) for part in value]
    return None


def _are_ids(value: list[Any]) -> bool:
    return all(type(part) is int for part in value)


def _is_unicode(texts: list[str]) -> bool:
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return False
    return True
