"""One file of a corpus: found, decompressed, split into lines, its bytes counted. Sources decide what lines mean."""

import bz2
import codecs
import contextlib
import gzip
import hashlib
import lzma
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from etils import epath

from bert_jax.errors import UserError
from bert_jax.storage.cloud import is_remote
from bert_jax.storage.paths import is_utf8
from bert_jax.text.file_kinds import HEAD_BYTES, check_is_compressed, check_is_no_dump, check_is_text

_DECOMPRESSORS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_END_BYTES = 1 << 16  # of a file's start and end, which stand for its content in `identity`
_CHUNK_BYTES = 1 << 16  # read at once


def matching_files(pattern: str) -> list[epath.Path]:
    """The files that a glob means, sorted by name; UserError if there are none, or something else than a file."""
    path = epath.Path(pattern)
    if path.exists() and not path.is_dir():  # also files whose names look like globs
        return [_regular(path)]
    if "**" in pattern:
        raise UserError(f"--input {pattern}: ** is not understood; write a * for each level of directories")
    parts = path.parts
    fixed = next((number for number, part in enumerate(parts) if set(part) & set("*?[")), len(parts))
    found = epath.Path(*parts[:fixed]).glob("/".join(parts[fixed:])) if fixed < len(parts) else []
    files = [_regular(file) for file in sorted(found) if not file.is_dir()]
    if path.is_dir() and not files:
        raise UserError(f"--input {pattern} is a directory; name its files, as in --input={pattern}/*.txt")
    if not files:
        raise UserError(f"--input {pattern} matches no file; correct it")
    return files


def _regular(path: epath.Path) -> epath.Path:
    """`path`, if it may be read more than once: a pipe has no size and digest by which a build knows its text again.

    Only its kind is looked at: opening a pipe that nobody writes to would wait for ever.
    """
    if not is_utf8(path):  # the records will name it
        raise UserError(f"--input {os.fsencode(path)!r}: this name is not UTF-8; rename the file")
    if is_remote(path) or Path(path).is_file():
        return path
    if not path.exists():
        raise UserError(f"--input {path} is a link to nothing; correct it")
    raise UserError(
        f"--input {path} is a pipe or device, and text is read more than once, so that the same command can resume "
        "after a kill; write it into a file, and give that"
    )


class InputFile:
    """A file, local or gs://, plain or compressed (.gz, .bz2, .xz)."""

    def __init__(self, path: epath.Path) -> None:
        self.path = path
        self._file: IO[bytes] | None = None
        self._read = 0  # bytes, when it is closed

    def __str__(self) -> str:
        return str(self.path)

    @property
    def size(self) -> int:
        """Bytes of the file as it is stored."""
        return self.path.stat().length

    @property
    def position(self) -> int:
        """How many of them have been read."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # a pipe has no position
                return self._file.tell()
        return self._read

    @property
    def _suffix(self) -> str:
        return self.path.suffix.lower()

    def identity(self) -> list[Any]:
        """Name without directory, size, and a digest of both ends."""
        with self.path.open("rb") as file:
            ends = file.read(_END_BYTES)
            file.seek(max(0, self.size - _END_BYTES))
            ends += file.read()
        return [self.path.name, self.size, hashlib.sha256(ends).hexdigest()[:16]]

    def lines(self) -> Iterator[tuple[int, str | None]]:
        """The stripped lines with their numbers, from 1; None for one that is not UTF-8.

        Only a newline ends a line, as in the original. Of many blank lines that follow one another, not all are given.
        """
        number = 0
        for block in self._whole_lines():
            if number == 0:  # A byte order mark is no text; the original's tokenizer drops it as a control character.
                block = block.removeprefix(codecs.BOM_UTF8)
            if block.isspace():  # hundreds of megabytes of newlines pack into a small file
                yield number + 1, ""
                number += 1 + block.count(b"\n")
                continue
            for line in _decoded(block):
                number += 1
                yield number, line

    def _whole_lines(self) -> Iterator[bytes]:
        """The bytes, in blocks of one line or several, without the newline that ends a block."""
        begun: list[bytes] = []  # chunks of one line
        for chunk in self.chunks(check_is_no_dump):
            lines, newline, rest = chunk.rpartition(b"\n")
            if newline:
                yield b"".join((*begun, lines))
                begun = []
            if rest:
                begun.append(rest)
        if begun:
            yield b"".join(begun)

    def chunks(self, check: Callable[[bytes, str], None] | None = None) -> Iterator[bytes]:
        """The decompressed bytes in chunks; `check` is called with the first bytes and the file's name.

        Raises:
            UserError: the file is damaged, or known to be no text.
        """
        read = 0
        try:
            with self._opened() as file:
                while chunk := file.read(_CHUNK_BYTES):
                    if not read:
                        check_is_text(chunk[:HEAD_BYTES], str(self), self._suffix in _DECOMPRESSORS)
                        if check is not None:
                            check(chunk[:HEAD_BYTES], str(self))
                    yield chunk
                    read += len(chunk)
        except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            raise self._explained(error, read) from error

    def _explained(self, error: Exception, read: int) -> Exception:
        if getattr(error, "errno", None) is not None:  # the operating system's errors, not a decompressor's
            return error
        with self.path.open("rb") as file:
            check_is_compressed(file.read(HEAD_BYTES), str(self), self._suffix)
        return UserError(f"{self} is truncated or damaged after {read:,} bytes of text; get the file again")

    @contextlib.contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        with self.path.open("rb") as self._file:
            try:
                suffix = self._suffix
                yield _DECOMPRESSORS[suffix](self._file, "rb") if suffix in _DECOMPRESSORS else self._file
            finally:
                self._read, self._file = self.position, None


def _decoded(block: bytes) -> list[str | None]:
    """The stripped lines of `block`, None for those that are not UTF-8."""
    try:
        return [line.strip() for line in block.decode().split("\n")]
    except UnicodeDecodeError:
        return [_decoded_line(line) for line in block.split(b"\n")]


def _decoded_line(line: bytes) -> str | None:
    try:
        return line.decode().strip()
    except UnicodeDecodeError:
        return None
