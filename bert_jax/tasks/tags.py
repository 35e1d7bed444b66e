"""What the tags of a file are: which scheme marks its spans, and tags that are none of it."""

import re
from collections.abc import Iterable, Sequence
from typing import Literal

from bert_jax.tasks.examples import TaggingExample

Scheme = Literal["IO", "BIO", "IOB1", "BIOES", "BILOU", "none"]

_PREFIXED = re.compile(r"[BIESLU]-.+", re.DOTALL)
_ENDS = ("E-", "S-", "L-", "U-")  # of the last word of a span
_SPANS = 0.9  # share of tags that are of a scheme, from which on the others are mistakes


def tag_scheme(sentences: Iterable[Sequence[str]]) -> Scheme:
    """How spans are marked in sentences of tags.

    IO: I- only (which is also IOB1 without neighbours of one type). IOB1: B- only where a span of the same type ends
    just before, other spans begin with I-. BIO (IOB2): each begins with B-, but for stray I-. BIOES, BILOU: ends and
    single words are marked, too. none: tags of words, such as parts of speech.
    """
    sentences = list(sentences)
    if not are_mostly_spans([tag for tags in sentences for tag in tags]):
        return "none"
    prefixes = {tag[0] for tags in sentences for tag in tags if _PREFIXED.fullmatch(tag)}
    if prefixes & {"E", "S"}:
        return "BIOES"
    if prefixes & {"L", "U"}:
        return "BILOU"
    if "B" not in prefixes:
        return "IO"
    return "IOB1" if _is_iob1(sentences) else "BIO"


def is_of_known_type(tag: str, known: Iterable[str]) -> bool:
    """Whether one of the `known` tags marks spans of this tag's type: I-LST, where B-LST is known."""
    return bool(_PREFIXED.fullmatch(tag)) and any(_PREFIXED.fullmatch(one) and one[2:] == tag[2:] for one in known)


def is_odd(tag: str) -> bool:
    """Whether a tag marks neither a span nor, with O, none."""
    return tag != "O" and not _PREFIXED.fullmatch(tag)


def check_tags(examples: Iterable[TaggingExample]) -> list[tuple[str, str]]:
    """(place, tag) of each tag that does not belong to the scheme that the others follow; none where there is none."""
    examples = [example for example in examples if example.tags]
    if not are_mostly_spans([tag for example in examples for tag in example.tags or ()]):
        return []
    return [
        (f"{example.place}, word {number} ({word})", tag)
        for example in examples
        for number, (word, tag) in enumerate(zip(example.words, example.tags or (), strict=True), start=1)
        if is_odd(tag)
    ]


def are_spans(tags: Iterable[str]) -> bool:
    """Whether all tags are of spans: each is O or has one of the prefixes B- I- E- S- L- U- before a type."""
    return not any(map(is_odd, set(tags)))


def have_ends(tags: Iterable[str]) -> bool:
    """Whether the last word of a span has a prefix of its own, as in BIOES and BILOU."""
    return any(tag.startswith(_ENDS) for tag in tags)


def are_mostly_spans(tags: Sequence[str]) -> bool:
    """Whether tags of words are of spans, but for a few mistakes."""
    prefixed = sum(bool(_PREFIXED.fullmatch(tag)) for tag in tags)
    return prefixed > 0 and prefixed + tags.count("O") >= _SPANS * len(tags)


def _is_iob1(sentences: Iterable[Sequence[str]]) -> bool:
    """Whether some span begins with I-, and each B- is just after a word of the same type."""
    begins_with_i = False
    for tags in sentences:
        for before, tag in zip(["O", *tags], tags, strict=False):
            same = before != "O" and before[2:] == tag[2:]
            if tag.startswith("B-") and not same:
                return False
            begins_with_i = begins_with_i or (tag.startswith("I-") and not same)
    return begins_with_i
