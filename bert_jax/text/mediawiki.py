"""A MediaWiki XML dump, such as enwiki-latest-pages-articles.xml.bz2: the articles' paragraphs, a page a document.

What a page's markup becomes is wikitext.py's. Redirects and pages that are no articles (talk, templates, files) are
left out. Cleaning takes nearly all of the time, so worker processes do it; the order stays that of the dump.
"""

import functools
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple
from xml.parsers import expat

from bert_jax.errors import UserError
from bert_jax.text.document import Document, unreadable
from bert_jax.text.files import InputFile
from bert_jax.text.ordered_map import ordered_map
from bert_jax.text.wikitext import check_installed, paragraphs

_PAGE_FIELDS = frozenset({"title", "ns", "model", "text"})


class Page(NamedTuple):
    """A page of a dump, its markup not yet cleaned."""

    line: int  # where its text begins
    left_out: str  # why it is no article; "" if it is one
    markup: str  # of an article


class MediaWikiDump:
    """One file of a dump."""

    def __init__(self, file: InputFile, num_workers: int) -> None:
        check_installed(str(file))
        self.file, self._num_workers = file, num_workers

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.file.size

    @property
    def position(self) -> int:
        """Bytes read of it."""
        return self.file.position

    def identity(self) -> list[list[Any]]:
        """The file's name, size and digest."""
        return [self.file.identity()]

    def documents(self) -> Iterator[Document]:
        """A document an article, a paragraph a line."""
        clean = functools.partial(_document, str(self.file))
        yield from ordered_map(clean, read_pages(self.file), self._num_workers)


def _document(file: str, page: tuple[Page, frozenset[str]]) -> Document:
    article, namespaces = page
    if article.left_out:
        return Document([], file, [article.line], article.left_out)
    left_out: Counter[str] = Counter()
    try:
        lines = paragraphs(article.markup, namespaces, left_out)
    except UserError as error:
        return unreadable(file, article.line, f"{file}, line {article.line}: {error}")
    places, dropped = [article.line] * max(1, len(lines)), "" if lines else "article without a paragraph"
    return Document(lines, file, places, dropped, templates=tuple(left_out.items()))


def read_pages(file: InputFile) -> Iterator[tuple[Page, frozenset[str]]]:
    """Each page of a dump with the names of the wiki's namespaces, of which there is little in a page's memory."""
    reader = _Reader(str(file))
    for chunk in file.chunks():
        reader.feed(chunk)
        for page in reader.finished:
            yield page, reader.names
        reader.finished.clear()
    reader.feed(b"", last=True)


class _Reader:
    """Collects pages out of the XML, as the parser calls it."""

    def __init__(self, name: str) -> None:
        self.finished: list[Page] = []
        self.names: frozenset[str] = frozenset()  # of the namespaces, in lower case
        self._name = name
        self._open: list[str] = []  # the elements around
        self._text: list[str] = []
        self._fields: dict[str, str] = {}
        self._line, self._is_redirect = 0, False
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text.append

    def feed(self, chunk: bytes, last: bool = False) -> None:
        try:
            self._parser.Parse(chunk, last)
        except expat.ExpatError as error:
            what = expat.ErrorString(error.code)
            raise UserError(f"{self._name}, line {error.lineno} is not XML ({what}); get the file again") from None

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._open and name != "mediawiki":
            raise UserError(f"{self._name} is XML, but no MediaWiki dump (its root is {name}); give it as plain text")
        self._open.append(name)
        self._text.clear()
        if name == "page":
            self._fields, self._is_redirect = {}, False
        elif name == "redirect":
            self._is_redirect = True
        elif name == "text":
            self._line = self._parser.CurrentLineNumber

    def _end(self, name: str) -> None:
        self._open.pop()
        if name == "page":
            left_out = self._left_out()
            self.finished.append(Page(self._line, left_out, "" if left_out else self._fields.get("text", "")))
        elif name in _PAGE_FIELDS:
            self._fields[name] = "".join(self._text)
        elif name == "namespace" and self._text:
            self.names |= {"".join(self._text).strip().lower()}
        self._text.clear()

    def _left_out(self) -> str:
        if self._is_redirect:
            return "redirect"
        is_article = self._fields.get("ns", "0") == "0" and self._fields.get("model", "wikitext") == "wikitext"
        return "" if is_article else "not an article"
