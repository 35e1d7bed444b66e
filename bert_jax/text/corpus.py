"""Files to documents to sentences, one document at a time: a corpus never has to fit into memory.

A corpus is plain UTF-8 text, also .gz, .bz2 or .xz: a line is a sentence or a paragraph, a blank line
ends a document. The source name `python-docs` stands for the documentation on this machine (python_docs.py).
What becomes of documents, and which of their lines hold no token, is not decided here.
"""

import bz2
import gzip
import hashlib
import lzma
import platform
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any

import sentencex
from absl import logging
from etils import epath

from bert_jax.errors import UserError
from bert_jax.text import python_docs

PYTHON_DOCS = "python-docs"

_DECOMPRESSORS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_RUNS_ON = "%s goes on with the last document of the file before it; end each file by a blank line to part them"
_END_BYTES = 1 << 16  # of a file's start and end, which stand for its content in corpus_identity


def documents(inputs: Sequence[str], split_sentences: bool = False) -> Iterator[list[str]]:
    """Yield each document of `inputs` as the list of its non-empty, stripped lines.

    A document ends at a blank line, not at the end of a file: it may go on in the next one, as in the original.

    Args:
        inputs: globs of text files, and `python-docs`, in the order in which they are read.
        split_sentences: cut every line into sentences (for text that has paragraphs on its lines).

    Raises:
        UserError: no file matches (raised at once, before the first document is asked for), a file is not
            UTF-8 or is truncated, or there is no text in any of them.
    """
    return _checked(_documents(_sources(inputs), split_sentences), inputs)


def corpus_identity(inputs: Sequence[str]) -> list[list[Any]]:
    """What a rerun compares to notice other input: each file's name, size in bytes, and a digest of its ends.

    Names are without their directory, so that a corpus may be moved. `python-docs` is known by Python's version.
    """
    return [_identity(source) for source in _sources(inputs)]


def _sources(inputs: Sequence[str]) -> list[str | epath.Path]:
    sources: list[str | epath.Path] = []
    for pattern in inputs:
        sources.extend([pattern] if pattern == PYTHON_DOCS else _matching_files(pattern))
    if not sources:
        raise UserError("no input is given; name text files, or python-docs, with --input")
    return sources


def _matching_files(pattern: str) -> list[epath.Path]:
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


def _identity(source: str | epath.Path) -> list[Any]:
    if isinstance(source, str):
        return [PYTHON_DOCS, platform.python_version()]
    size = source.stat().length
    with source.open("rb") as file:
        ends = file.read(_END_BYTES)
        file.seek(max(0, size - _END_BYTES))
        ends += file.read()
    return [source.name, size, hashlib.sha256(ends).hexdigest()[:16]]


def _checked(found: Iterator[list[str]], inputs: Sequence[str]) -> Iterator[list[str]]:
    empty = True
    for document in found:
        empty = False
        yield document
    if empty:
        raise UserError(f"there is no text in {', '.join(inputs)}; give files that hold some with --input")


def _documents(sources: list[str | epath.Path], split_sentences: bool) -> Iterator[list[str]]:
    document: list[str] = []
    for source in sources:
        if isinstance(source, str):
            yield from filter(None, [document])
            yield from python_docs.documents()
            document = []
            continue
        # Only a blank line ends a document; a file's end does not. That is the original's rule, and its instances
        # are what this project promises; whoever keeps one document in each file is told how to end them.
        if document:
            logging.log_first_n(logging.WARNING, _RUNS_ON, 3, source)
        for line in _lines(source):
            if line:
                document.extend(_sentences(line) if split_sentences else [line])
            elif document:
                yield document
                document = []
    if document:
        yield document


def _sentences(paragraph: str) -> list[str]:
    # English rules; sentencex has them for many languages, but a corpus does not say which one it is in.
    return [sentence.strip() for sentence in sentencex.segment("en", paragraph) if not sentence.isspace()]


def _lines(path: epath.Path) -> Iterator[str]:
    """The stripped lines of a file. Only a newline ends a line, as in the original."""
    number = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(_decompressed(file, path.suffix)):
                # A byte order mark is no text; the original's tokenizer drops it as a control character.
                yield line.decode("utf-8-sig" if number == 0 else "utf-8").strip()
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}, line {number + 1} is not UTF-8 ({error.reason}); convert it, for example with iconv -t UTF-8"
        ) from None
    except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        if getattr(error, "errno", None) is not None:  # the operating system's errors, not a decompressor's
            raise
        raise UserError(f"{path} is truncated or damaged after line {number}; get the file again") from error


def _decompressed(file: IO[bytes], suffix: str) -> IO[bytes]:
    return _DECOMPRESSORS[suffix](file, "rb") if suffix in _DECOMPRESSORS else file
