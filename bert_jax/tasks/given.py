"""What a caller of the library gives a task in the place of a file's row."""

from collections.abc import Sequence
from typing import Any

from bert_jax.errors import UserError
from bert_jax.tasks.examples import TextExample
from bert_jax.tasks.lines import check_is_unicode

TEXTS = "a text, or a pair of texts"


def text_of(given: Any, place: str, pairs: bool | None = None) -> TextExample:
    """An example of a text or a pair; UserError, with `place`, if it is neither, or not what `pairs` says."""
    if isinstance(given, str) and not pairs:
        return TextExample(place, None, given, None, None)
    if is_texts(given) and len(given) == 2 and pairs is not False:
        return TextExample(place, None, given[0], given[1], None)
    raise not_as_asked(given, place, {None: TEXTS, True: "a pair of texts", False: "a text"}[pairs])


def pair_of(given: Any, place: str, what: str) -> tuple[str, str]:
    """The two texts, which `what` describes; UserError, with `place`, if there are not two."""
    if not is_texts(given) or len(given) != 2:
        raise not_as_asked(given, place, what)
    return given[0], given[1]


def is_texts(given: Any) -> bool:
    """Whether it is a sequence of texts, and not one text."""
    is_sequence = isinstance(given, Sequence) and not isinstance(given, str | bytes)
    return is_sequence and all(isinstance(each, str) for each in given)


def check_whole_characters(given: Any, place: str) -> None:
    """Raise UserError, with `place`, if a text, also one in a pair or list, has half of a surrogate pair."""
    if isinstance(given, str):
        check_is_unicode(given, place)
    elif isinstance(given, Sequence) and not isinstance(given, bytes):
        for each in given:
            check_whole_characters(each, place)


def not_as_asked(given: Any, place: str, what: str) -> UserError:
    """The error for what is of another form than `what`."""
    return UserError(f"{place} is {given!r:.80}; give {what}")
