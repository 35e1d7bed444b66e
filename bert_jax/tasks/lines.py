"""A file or the standard input as lines, just as they stand there.

Unlike the lines of a corpus (text/files.py) they are not stripped, and each blank one counts: a row is a prediction.
"""

import codecs
import itertools
import json
import sys
from collections.abc import Iterable, Iterator

from etils import epath

from bert_jax.errors import UserError
from bert_jax.storage.cloud import is_remote
from bert_jax.text.file_kinds import HEAD_BYTES, check_is_text
from bert_jax.text.files import InputFile

STANDARD_INPUT = "-"
COMPRESSED = (".gz", ".bz2", ".xz")

_CHUNK_BYTES = 1 << 16


def shown(path: str) -> str:
    """What messages call a file."""
    return "standard input" if path == STANDARD_INPUT else path


def place(path: str, line: int) -> str:
    """Where a line is, from 1, for messages."""
    return f"{shown(path)}, line {line}"


def suffix(path: str) -> str:
    """The end of a file's name that says its format, lower-cased: ".tsv" of "a.TSV.xz"."""
    name = path.rpartition("/")[2].lower()
    for compressed in COMPRESSED:
        name = name.removesuffix(compressed)
    return f".{name.rpartition('.')[2]}" if "." in name else ""


def read_lines(path: str) -> Iterator[tuple[int, str]]:
    r"""The lines of a file, local or gs://, plain, .gz, .bz2 or .xz, or of "-", with their numbers, from 1.

    Only a newline ends a line; a carriage return before it stays, `without_return` takes it off. A byte order mark at
    the start is dropped. A newline at the very end begins no line.

    Raises:
      UserError: the file is not there, is no text, is not UTF-8, or has a NUL; names file and line.
    """
    for number, content in enumerate(_parted(_chunks(path)), start=1):
        line = content.removeprefix(codecs.BOM_UTF8) if number == 1 else content
        if b"\0" in line:
            raise UserError(f"{place(path, number)} has a NUL character, which is no text; fix or remove the line")
        try:
            yield number, line.decode()
        except UnicodeDecodeError:
            raise UserError(
                f"{place(path, number)} is not UTF-8 text; convert it, for example with iconv -f latin1 -t UTF-8"
            ) from None


def is_json_input() -> bool:
    """Whether the standard input begins with a JSON object; nothing of it is read by that."""
    begin: bytes = sys.stdin.buffer.peek(1)  # type: ignore[union-attr]  # a BufferedReader
    return begin.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{")


def json_or_lines(path: str) -> tuple[bool, Iterator[tuple[int, str]]]:
    """Whether it is the standard input, and begins with a JSON object; and the lines, without carriage returns."""
    begin, lines = [], without_return(read_lines(path))
    for number, line in lines if path == STANDARD_INPUT else ():
        begin.append((number, line))
        if line.strip():  # the first that is not blank
            break
    return bool(begin) and begin[-1][1].lstrip().startswith("{"), itertools.chain(begin, lines)


def without_return(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    r"""Lines without the carriage return of a \r\n."""
    for number, line in lines:
        yield number, line.removesuffix("\r")


def check_is_unicode(value: object, where: str) -> None:
    """Raise UserError if JSON text has half of a surrogate pair somewhere, which cannot be written back."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise UserError(f"{where} has half of a surrogate pair, which is no text; fix it") from None


def _chunks(path: str) -> Iterator[bytes]:
    if path == STANDARD_INPUT:
        return _of_standard_input()
    file = epath.Path(path)
    if file.is_dir():
        raise UserError(f"{path} is a directory; give a file")
    if not file.exists():
        there = "an object" if is_remote(path) else "a file"
        raise UserError(f"{path} is not there; give the path of {there}")
    return InputFile(file).chunks()


def _of_standard_input() -> Iterator[bytes]:
    first = True
    while chunk := sys.stdin.buffer.read(_CHUNK_BYTES):
        if first:
            check_is_text(chunk[:HEAD_BYTES], shown(STANDARD_INPUT), decompressed=False)
        first = False
        yield chunk


def _parted(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes between newlines."""
    begun: list[bytes] = []  # chunks of one line
    for chunk in chunks:
        *lines, rest = chunk.split(b"\n")
        if lines:
            yield b"".join((*begun, lines[0]))
            yield from lines[1:]
            begun = []
        if rest:
            begun.append(rest)
    if begun:
        yield b"".join(begun)
