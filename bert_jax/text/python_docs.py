"""The source `python-docs`: the documentation that already lies on the machine, as prose.

Python's own topics ("python -m pydoc -k"), then the docstrings of the standard library and of every package installed
beside it: one topic or one module a document. Modules are read, never imported, so nothing of theirs runs.
The same environment gives the same documents in the same order.
"""

import ast
import hashlib
import inspect
import platform
import re
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

from bert_jax.text.document import Document
from bert_jax.text.sentences import sentences_of

NAME = "python-docs"

_LEFT_OUT = {"tests", "test", "testing", "site-packages", "dist-packages", "idlelib", "__pycache__"}
_TEST_FILE = re.compile(r"(test_.*|.*_test|conftest)\.py")
_FEWEST_SENTENCES = 2  # a document needs two, or it has no next sentence

# Parsing every file of an environment with `ast` takes many times as long as looking for triple-quoted strings that
# open a module or a block, which finds nearly all of the same text.
_STRING = re.compile(
    r'"""[^"\\]*+(?:(?:\\.|"(?!""))[^"\\]*+)*+"""'
    r"|'''[^'\\]*+(?:(?:\\.|'(?!''))[^'\\]*+)*+'''",
    re.DOTALL,
)
_FILE_START = re.compile(r"([ \t]*(#.*)?\n)*+[rRuU]?")
_BLOCK_START = re.compile(r":[ \t]*(#.*)?\n\s*[rRuU]?\Z")
_LONGEST_OPENING = 160  # characters between a block's colon and its docstring, comments included

# How a line begins that is not the plain continuation of the line before it.
_BEGINNING = re.compile(
    r"""\s*(?:
        (?P<code> >>> | \.\.\.\s | \.\.\s | :\w+: $ | [@$\#] | import\s | from\s\w+\simport\s | In\s\[ )
      | (?P<heading> \w+ (?:\s\w+)? : \s* $ | [-=~^*+]{3,} \s* $ )
      | (?P<item> [-*+•]\s+ | (?: \d+[.)] | \([a-z0-9]\) ) \s+ | :(?:param|type|returns?|rtype|raises?|arg)\b[^:]*:\s* )
    )""",
    re.VERBOSE,
)
_ROLE = re.compile(r":(?:\w+:)?\w+:`[~!]?([^`<]*?)\s*(?:<[^`]*>)?`")
_QUOTED = re.compile(r"`{1,2}([^`]+)`{1,2}_{0,2}")
_WORD = re.compile(r"[A-Za-z]{2,}")


class PythonDocs:
    """The source; how much there is nobody knows before it is read."""

    size = 0
    position = 0

    def identity(self) -> list[list[Any]]:
        """Python's version."""
        return [[NAME, platform.python_version()]]

    def documents(self) -> Iterator[Document]:
        """A topic or a module a document; there are no lines, so documents are numbered."""
        for number, sentences in enumerate(documents(), start=1):
            yield Document(sentences, NAME, [number] * len(sentences))


def documents() -> Iterator[list[str]]:
    """Yield each topic and each module's docstrings as a list of sentences; no paragraph comes twice."""
    seen: set[bytes] = set()
    for name in sorted(topics):
        yield from _document([topics[name]], seen)
    for file in _module_files():
        yield from _document(_docstrings(file), seen)


def _document(texts: list[str], seen: set[bytes]) -> Iterator[list[str]]:
    sentences: list[str] = []
    for paragraph in (paragraph for text in texts for paragraph in _paragraphs(text)):
        # Libraries repeat the same words over hundreds of modules; a digest is enough to know them again.
        digest = hashlib.blake2b(paragraph.encode("utf-8", "replace"), digest_size=8).digest()
        if digest not in seen:
            seen.add(digest)
            sentences += sentences_of(paragraph)
    if len(sentences) >= _FEWEST_SENTENCES:
        yield sentences


def _module_files() -> list[Path]:
    """Every module's source file, sorted by module name: the standard library's, then the packages'."""
    paths = sysconfig.get_paths()
    roots = dict.fromkeys(Path(paths[key]) for key in ("stdlib", "platstdlib", "purelib", "platlib"))
    return [file for root in roots for file in sorted(root.rglob("*.py")) if _is_documentation(file, root)]


def _is_documentation(file: Path, root: Path) -> bool:
    inside = file.relative_to(root)
    return _LEFT_OUT.isdisjoint(inside.parts) and not _TEST_FILE.fullmatch(file.name)


def _docstrings(file: Path) -> list[str]:
    """The docstrings of a module, its classes and functions in source order; none of a file that is no module."""
    try:
        source = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    return [_value(source, string) for string in _STRING.finditer(source) if _opens_block(source, string.start())]


def _opens_block(source: str, start: int) -> bool:
    before = source[max(0, start - _LONGEST_OPENING) : start]
    return bool(_BLOCK_START.search(before) or _FILE_START.fullmatch(source, endpos=start))


def _value(source: str, string: re.Match[str]) -> str:
    """The text that a string literal stands for, dedented; "" if it is none."""
    literal = string[0]
    if "\\" not in literal or source[string.start() - 1] in "rR":
        return inspect.cleandoc(literal[3:-3])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other people's invalid escapes
            # Half of a surrogate pair is no text.
            return inspect.cleandoc(ast.literal_eval(literal)).encode("utf-8", "replace").decode()
    except (SyntaxError, ValueError):
        return ""


def _paragraphs(docstring: str) -> Iterator[str]:
    """The prose of a docstring: each paragraph and list item on one line, without code, tables and markup."""
    for block in re.split(r"\n\s*\n", docstring):
        for lines in _split_block(block.splitlines()):
            text = " ".join(line.strip() for line in lines)
            text = _QUOTED.sub(r"\1", _ROLE.sub(r"\1", text))
            if _is_prose(text):
                yield text


def _split_block(lines: list[str]) -> Iterator[list[str]]:
    """Split a block of lines at headings, list items and where the indentation falls; stop at the first code."""
    paragraph: list[str] = []
    for line in lines:
        beginning = _BEGINNING.match(line)
        kind = beginning.lastgroup if beginning else None
        if kind == "code":
            break
        if paragraph and (kind or _indentation(line) < _indentation(paragraph[-1])):
            yield paragraph
            paragraph = []
        if kind != "heading":
            paragraph.append(line[beginning.end() :] if beginning else line)
    yield paragraph


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip())


def _is_prose(text: str) -> bool:
    """Whether a text reads like sentences: several words, and not much beside letters and spaces."""
    letters = sum(map(str.isalpha, text)) + text.count(" ")
    return len(_WORD.findall(text)) >= 4 and letters > 0.85 * len(text)
