"""One file of a corpus: found, decompressed, cut into lines, and its bytes counted. What lines mean is the sources'."""

import bz2
import contextlib
import gzip
import hashlib
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any

from etils import epath

from bert_jax.errors import UserError

_DECOMPRESSORS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_END_BYTES = 1 << 16  # of a file's start and end, which stand for its content in `identity`


def matching_files(pattern: str) -> list[epath.Path]:
    """The files that a glob means, sorted by name; UserError if there are none."""
    path = epath.Path(pattern)
    if path.exists() and not path.is_dir():  # pipes too, and files whose names look like globs
        return [path]
    if "**" in pattern:
        raise UserError(f"--input {pattern}: ** is not understood; write a * for each level of directories")
    parts = path.parts
    fixed = next((number for number, part in enumerate(parts) if set(part) & set("*?[")), len(parts))
    found = epath.Path(*parts[:fixed]).glob("/".join(parts[fixed:])) if fixed < len(parts) else []
    files = sorted(file for file in found if file.is_file())
    if path.is_dir() and not files:
        raise UserError(f"--input {pattern} is a directory; name its files, as in --input={pattern}/*.txt")
    if not files:
        raise UserError(f"--input {pattern} matches no file; correct it")
    return files


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

    def identity(self) -> list[Any]:
        """Name without directory, size, and a digest of both ends."""
        with self.path.open("rb") as file:
            ends = file.read(_END_BYTES)
            file.seek(max(0, self.size - _END_BYTES))
            ends += file.read()
        return [self.path.name, self.size, hashlib.sha256(ends).hexdigest()[:16]]

    def lines(self) -> Iterator[str]:
        """The stripped lines. Only a newline ends a line, as in the original."""
        number = 0
        try:
            with self._opened() as file:
                for number, line in enumerate(file):
                    # A byte order mark is no text; the original's tokenizer drops it as a control character.
                    yield line.decode("utf-8-sig" if number == 0 else "utf-8").strip()
        except UnicodeDecodeError as error:
            raise UserError(
                f"{self}, line {number + 1} is not UTF-8 ({error.reason}); convert it, for example with iconv -t UTF-8"
            ) from None
        except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            raise self._explained(error, f"line {number}") from error

    def chunks(self, size: int = 1 << 16) -> Iterator[bytes]:
        """The decompressed bytes in pieces."""
        read = 0
        try:
            with self._opened() as file:
                while piece := file.read(size):
                    yield piece
                    read += len(piece)
        except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            raise self._explained(error, f"{read:,} bytes") from error

    def _explained(self, error: Exception, place: str) -> Exception:
        if getattr(error, "errno", None) is not None:  # the operating system's errors, not a decompressor's
            return error
        return UserError(f"{self} is truncated or damaged after {place}; get the file again")

    @contextlib.contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        with self.path.open("rb") as self._file:
            try:
                suffix = self.path.suffix
                yield _DECOMPRESSORS[suffix](self._file, "rb") if suffix in _DECOMPRESSORS else self._file
            finally:
                self._read, self._file = self.position, None
