"""JSON Lines: a document a line, its text in one field, as a string, a list of sentences, or lists of token ids."""

from collections.abc import Iterator
from typing import Any

from bert_jax.errors import UserError
from bert_jax.storage.json_file import decode_json
from bert_jax.text.document import Document, not_utf8, unreadable
from bert_jax.text.files import InputFile

_LONGEST_NAMES = 200  # characters of an object's fields in a message


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
        """The file's name, size and digest, and the field: another one is other text."""
        return [[*self._file.identity(), self._field]]

    def documents(self) -> Iterator[Document]:
        """A document a line; an empty one is dropped."""
        for number, line in self._file.lines():
            if line:
                yield self._document(line, number)
            elif line is None:
                yield not_utf8(str(self._file), number)

    def _document(self, line: str, number: int) -> Document:
        try:
            sentences = [text for text in map(str.strip, self._texts(line, f"{self._file}, line {number}")) if text]
        except UserError as error:
            return unreadable(str(self._file), number, str(error))
        if not sentences:
            return Document([], str(self._file), [number], "empty")
        return Document(sentences, str(self._file), [number] * len(sentences))

    def _texts(self, line: str, place: str) -> list[str]:
        value = decode_json(line, object, place, "fix or remove it")
        if not isinstance(value, dict):
            raise UserError(f'{place} is no JSON object; each line is one, as in {{"text": ...}}')
        if self._field not in value:
            raise UserError(
                f"{place} has no field {self._field!r} but {_names(value)}; "
                "name the one that holds the text with --text_field"
            )
        texts = _lines_of(value[self._field])
        if texts is None:
            raise UserError(
                f"{place}: {self._field!r} is neither text, nor a list of sentences, nor ids; "
                "correct it, or name another field with --text_field"
            )
        if "\\u" in line and not _is_unicode(texts):
            raise UserError(f"{place} has half of a surrogate pair, which is no text; fix it")
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


def _names(value: dict[str, Any]) -> str:
    names = " ".join(", ".join(value).split()) or "none"
    return names if len(names) <= _LONGEST_NAMES else names[:_LONGEST_NAMES] + " ..."


def _is_unicode(texts: list[str]) -> bool:
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return False
    return True
