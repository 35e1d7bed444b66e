"""Wiki markup to paragraphs, as the paper took Wikipedia: "only the text passages", no lists, tables and headings.

mwparserfromhell reads the markup; what of it is text is decided here, and of templates in wiki_templates.py.
"""

import dataclasses
import importlib.util
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from bert_jax.errors import UserError
from bert_jax.text.wiki_templates import GAP, RENDERERS, close_up

# References and comments are half of an article's markup; without them parsing takes a third of the time.
_UNSEEN = re.compile(r"<!--|<ref\b[^<>]*>", re.IGNORECASE)
_COMMENT_END = re.compile("-->")
_REFERENCE_END = re.compile(r"</ref\s*>", re.IGNORECASE)
# -{text}- and -{zh-hans:text;zh-hant:text}-, with flags before a bar: words that languages with several scripts have.
_VARIANTS = re.compile(r"-\{(?!\{)(?:([A-Za-z;-]{0,100})\|)?((?:[^{}]|\{\{[^{}]*\}\})*)\}-")
_VARIANT = re.compile(r"(?:^|;)\s*[a-z]{2,3}(?:-[a-z]+)*\s*:")
_SHOW_NOTHING = frozenset("HTDN-")  # flags of rules for elsewhere, or that show a name
_DEEPEST_VARIANT = 3
_TEXT_TAGS = frozenset(["b", "i", "u", "s", "em", "strong", "small", "big", "sub", "sup", "span", "div", "p", "font"])
_TEXT_TAGS |= frozenset(["center", "tt", "kbd", "var", "cite", "abbr", "q", "bdi", "del", "ins", "dfn", "blockquote"])
_TEXT_TAGS |= frozenset(["poem", "nowiki", "section"])
_LIST_TAGS = frozenset(["li", "dt", "dd"])  # also "*", "#", ";" and ":" at the beginning of a line
_LIST_LINE = "\0"  # marks a line that is an item of a list
_LANGUAGE_LINK = re.compile(r"[a-z]{2,3}(-[a-z-]+)?|simple")
_COMMON_NAMESPACES = frozenset(["file", "image", "media", "category"])
_LONGEST_NAME = 100  # characters of a template's, in the report

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
        raise UserError(f"{wanted_by} needs mwparserfromhell; run launch/setup.sh wiki")


def paragraphs(
    markup: str, namespaces: frozenset[str] = frozenset(), left_out: Counter[str] | None = None
) -> list[str]:
    """The paragraphs of a page's text, in order.

    `namespaces` are the wiki's own names for "Category" and the like. The names of templates that are left out are
    added to `left_out`. Raises UserError, without the page's place, for markup that the parser gives up on.
    """
    import mwparserfromhell

    wiki = _Wiki(namespaces | _COMMON_NAMESPACES, Counter() if left_out is None else left_out)
    try:
        code = mwparserfromhell.parse(_one_variant(_without_unseen(markup)), skip_style_tags=True)
        text = "".join(_rendered(code, wiki))
    except (mwparserfromhell.parser.ParserError, RecursionError) as error:
        raise UserError(f"this page cannot be parsed ({type(error).__name__}); fix or remove it") from None
    tidied = map(_tidy, close_up(_QUOTES.sub("", text)).split("\n"))
    return [line for line in tidied if _LETTER.search(line) and not _BROKEN.search(line)]


def _without_unseen(markup: str) -> str:
    """Markup without comments and references; of one that does not end, only its beginning goes."""
    texts, at = [], 0
    endless: set[re.Pattern[str]] = set()
    for beginning in _UNSEEN.finditer(markup):
        if beginning.start() < at:
            continue
        is_comment = beginning[0] == "<!--"
        texts += [markup[at : beginning.start()], "" if is_comment else GAP]
        at = beginning.end()
        pattern = _COMMENT_END if is_comment else _REFERENCE_END
        if not beginning[0].endswith("/>") and pattern not in endless:  # or many of them would take for ever
            end = pattern.search(markup, at)
            at = end.end() if end else at
            endless |= set() if end else {pattern}
    return close_up("".join([*texts, markup[at:]]))


def _one_variant(markup: str) -> str:
    """Markup in which words that a page has in several scripts or spellings are there once, as they come first."""
    for _ in range(_DEEPEST_VARIANT if "-{" in markup else 0):
        markup = _VARIANTS.sub(_first_variant, markup)
    return markup


def _first_variant(found: re.Match[str]) -> str:
    flags, rule = found.groups()
    if _SHOW_NOTHING & {flag.strip() for flag in (flags or "").split(";")}:
        return ""
    first, *more = [*_VARIANT.finditer(rule), None]
    if first is None or first.start() > 0:
        return rule
    return rule[first.end() : more[0].start() if more[0] else len(rule)].strip(" ;\n")


@dataclasses.dataclass(frozen=True)
class _Wiki:
    """What is known of the wiki, and what is noted of the page."""

    namespaces: frozenset[str]
    left_out: Counter[str]  # templates without a text


def _rendered(code: Any, wiki: _Wiki) -> Iterator[str]:
    """The text that a reader of the page sees, without lists, tables and headings."""
    for node in code.nodes:
        yield from _NODES[type(node).__name__](node, wiki)


def _text(node: Any, wiki: _Wiki) -> Iterator[str]:
    del wiki
    yield node.value


def _entity(node: Any, wiki: _Wiki) -> Iterator[str]:
    del wiki
    character = node.normalize()
    is_none = character < " " and character not in "\t\n"
    yield GAP if is_none or "\ud800" <= character <= "\udfff" else character


def _heading(node: Any, wiki: _Wiki) -> Iterator[str]:
    del node, wiki
    yield "\n"


def _comment(node: Any, wiki: _Wiki) -> Iterator[str]:
    del node, wiki
    yield ""


def _nothing(node: Any, wiki: _Wiki) -> Iterator[str]:
    del node, wiki
    yield GAP


def _link(node: Any, wiki: _Wiki) -> Iterator[str]:
    title = str(node.title)
    if "&" in title or "{" in title:
        title = "".join(_rendered(node.title, wiki))
    title = title.strip()
    prefix, colon, _ = title.partition(":")
    is_language = node.text is None and _LANGUAGE_LINK.fullmatch(prefix)
    if colon and (prefix.strip().lower() in wiki.namespaces or is_language):
        yield GAP
    elif node.text is None:
        yield title.lstrip(":")
    else:
        yield from _rendered(node.text, wiki)


def _external_link(node: Any, wiki: _Wiki) -> Iterator[str]:
    if node.title is None:
        yield GAP
    else:
        yield from _rendered(node.title, wiki)


def _tag(node: Any, wiki: _Wiki) -> Iterator[str]:
    name = str(node.tag).strip().lower()
    if name in _LIST_TAGS:
        yield _LIST_LINE
    elif name in ("br", "hr"):
        yield "\n"
    elif name in _TEXT_TAGS and node.contents is not None:
        yield from _rendered(node.contents, wiki)
    else:
        yield GAP


def _template(node: Any, wiki: _Wiki) -> Iterator[str]:
    whole = " ".join("".join(_rendered(node.name, wiki)).replace("_", " ").split())
    function, colon, value = whole.removeprefix("Template:").partition(":")
    name = function.lower() + colon
    render = RENDERERS.get(name)
    if render is None:
        wiki.left_out[name[:_LONGEST_NAME]] += 1
        yield GAP
        return
    arguments = {str(param.name).strip(): "".join(_rendered(param.value, wiki)) for param in node.params}
    yield render({**arguments, "1": value} if colon else arguments)


_NODES: dict[str, Callable[[Any, _Wiki], Iterator[str]]] = {
    "Argument": _nothing,
    "Comment": _comment,
    "ExternalLink": _external_link,
    "HTMLEntity": _entity,
    "Heading": _heading,
    "Tag": _tag,
    "Template": _template,
    "Text": _text,
    "Wikilink": _link,
}


def _tidy(line: str) -> str:
    if _LIST_LINE in line:
        return ""
    line = _SPACES.sub(" ", _SWITCH.sub("", line))
    line = _LEADING_IN_BRACKETS.sub("(", _EMPTY_BRACKETS.sub("", line))
    return _SPACE_BEFORE.sub(r"\1", line).strip()
