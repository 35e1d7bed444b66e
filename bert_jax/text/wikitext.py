"""Wiki markup to paragraphs, as the paper took Wikipedia: "only the text passages", no lists, tables and headings.

mwparserfromhell reads the markup; what of it is text is decided here.
"""

import importlib.util
import re
from collections.abc import Callable, Iterator
from typing import Any

from bert_jax.errors import UserError

# References and comments are half of an article's markup; without them parsing takes a third of the time.
_UNSEEN = re.compile(r"<!--.*?-->|<ref\b[^<>]*/>|<ref\b[^<>]*>.*?</ref\s*>", re.DOTALL | re.IGNORECASE)
_SHOWN_TAGS = frozenset(["b", "i", "u", "s", "em", "strong", "small", "big", "sub", "sup", "span", "div", "p", "font"])
_SHOWN_TAGS |= frozenset(["center", "tt", "kbd", "var", "cite", "abbr", "q", "bdi", "del", "ins", "dfn", "blockquote"])
_SHOWN_TAGS |= frozenset(["poem", "nowiki", "section"])
_LIST_TAGS = frozenset(["li", "dt", "dd"])  # also "*", "#", ";" and ":" at the beginning of a line
_LIST_LINE = "\0"  # marks a line that is an item of a list
_LANGUAGE_LINK = re.compile(r"[a-z]{2,3}(-[a-z-]+)?|simple")
_COMMON_NAMESPACES = frozenset(["file", "image", "media", "category"])

# Templates that stand for words of the sentence around them; which of their arguments those are.
_SHOWN_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "lang": ("2",),
    "transliteration": ("2",),
    "transl": ("2",),
    "nowrap": ("1",),
    "nobr": ("1",),
    "nbsp": (),
    "convert": ("1", "2"),
    "cvt": ("1", "2"),
}

_QUOTES = re.compile(r"'{2,5}")  # bold and italic
_SWITCH = re.compile(r"__[A-Z]{3,}__")
_SPACES = re.compile(r"[ \t\u00a0]+")
# What is left of brackets when the templates in them are gone: "Tokyo ( , ; listen)" had its pronunciation there.
_EMPTY_BRACKETS = re.compile(r"\s*\(\s*[,;:/–\s]*\)")
_LEADING_IN_BRACKETS = re.compile(r"\(\s*[,;]\s*")
_SPACE_BEFORE = re.compile(r" +([,.;:!?)])(?=\s|$)")
_BROKEN = re.compile(r"\{\{|\}\}|\{\||\|\}|\[\[|\]\]|^[|!]")  # markup that was never closed
_LETTER = re.compile(r"[^\W\d_]")


def check_installed(wanted_by: str) -> None:
    """Raise UserError if the parser is not installed."""
    if importlib.util.find_spec("mwparserfromhell") is None:
        raise UserError(f"{wanted_by} needs mwparserfromhell; install it with pip install 'bert_jax[wiki]'")


def paragraphs(markup: str, namespaces: frozenset[str] = frozenset()) -> list[str]:
    """The paragraphs of a page's text, in order; `namespaces` are the wiki's own names for "Category" and the like."""
    import mwparserfromhell

    code = mwparserfromhell.parse(_UNSEEN.sub("", markup), skip_style_tags=True)
    text = "".join(_shown(code, namespaces | _COMMON_NAMESPACES))
    tidied = map(_tidy, text.split("\n"))
    return [line for line in tidied if _LETTER.search(line) and not _BROKEN.search(line)]


def _shown(code: Any, namespaces: frozenset[str]) -> Iterator[str]:
    """The pieces of text that a reader of the page sees in running text."""
    for node in code.nodes:
        show = _NODES.get(type(node).__name__)
        if show is not None:
            yield from show(node, namespaces)


def _text(node: Any, namespaces: frozenset[str]) -> Iterator[str]:
    del namespaces
    yield node.value


def _entity(node: Any, namespaces: frozenset[str]) -> Iterator[str]:
    del namespaces
    yield node.normalize()


def _heading(node: Any, namespaces: frozenset[str]) -> Iterator[str]:
    del node, namespaces
    yield "\n"


def _link(node: Any, namespaces: frozenset[str]) -> Iterator[str]:
    title = str(node.title).strip()
    prefix, colon, _ = title.partition(":")
    if colon and (prefix.strip().lower() in namespaces or (node.text is None and _LANGUAGE_LINK.fullmatch(prefix))):
        return
    if node.text is None:
        yield title.lstrip(":")
    else:
        yield from _shown(node.text, namespaces)


def _external_link(node: Any, namespaces: frozenset[str]) -> Iterator[str]:
    if node.title is not None:
        yield from _shown(node.title, namespaces)


def _tag(node: Any, namespaces: frozenset[str]) -> Iterator[str]:
    name = str(node.tag).strip().lower()
    if name in _LIST_TAGS:
        yield _LIST_LINE
    elif name in ("br", "hr"):
        yield "\n"
    elif name in _SHOWN_TAGS and node.contents is not None:
        yield from _shown(node.contents, namespaces)


def _template(node: Any, namespaces: frozenset[str]) -> Iterator[str]:
    arguments = _SHOWN_ARGUMENTS.get(str(node.name).strip().lower(), ())
    for number, argument in enumerate(filter(node.has, arguments)):
        yield " " if number else ""
        yield from _shown(node.get(argument).value, namespaces)


# Everything else (arguments, comments) is not shown.
_NODES: dict[str, Callable[[Any, frozenset[str]], Iterator[str]]] = {
    "Text": _text,
    "HTMLEntity": _entity,
    "Heading": _heading,
    "Wikilink": _link,
    "ExternalLink": _external_link,
    "Tag": _tag,
    "Template": _template,
}


def _tidy(line: str) -> str:
    if _LIST_LINE in line:
        return ""
    line = _SPACES.sub(" ", _SWITCH.sub("", _QUOTES.sub("", line)))
    line = _LEADING_IN_BRACKETS.sub("(", _EMPTY_BRACKETS.sub("", line))
    return _SPACE_BEFORE.sub(r"\1", line).strip()
