"""What the answers of a model are shown as: tables, drawings and texts with marks. Plain values for the template."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Literal

from markupsafe import Markup

from bert_jax.reporting.percent import percent_of_one
from bert_jax.tasks.task import Example, Prediction

MOST_MISTAKES = 10
MOST_CHARACTERS = 700  # of a text that is shown

Answered = Sequence[tuple[Example, Prediction]]


@dataclasses.dataclass(frozen=True)
class Cell:
    """One cell of a table; `shade` from 0 to 1 colours it."""

    text: str
    shade: float | None = None


@dataclasses.dataclass(frozen=True)
class Table:
    """The first `text_columns` columns are text, the others numbers."""

    title: str
    explained: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    text_columns: int = 1
    kind = "table"


@dataclasses.dataclass(frozen=True)
class Drawing:
    """An <svg> element."""

    title: str
    explained: str
    svg: Markup
    kind = "drawing"


@dataclasses.dataclass(frozen=True)
class Marked:
    """A stretch of text; `mark` names the classes of its mark, "" is none; `note` stands small after it."""

    text: str
    mark: str = ""
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Option:
    """An answer that was possible, with its probability, or None where it has none."""

    text: str
    share: float | None
    mark: Literal["", "right", "wrong"] = ""

    @property
    def percent(self) -> str:
        """The share as people write it."""
        return "" if self.share is None else percent_of_one(self.share)


@dataclasses.dataclass(frozen=True)
class Card:
    """One example with what the model makes of it."""

    heading: str
    texts: Sequence[Sequence[Marked]]
    options: Sequence[Option] = ()
    place: str = ""


@dataclasses.dataclass(frozen=True)
class Cards:
    """Several examples; `keys` says what marks mean: (mark, meaning)."""

    title: str
    explained: str
    cards: Sequence[Card]
    keys: Sequence[tuple[str, str]] = ()
    kind = "cards"


Part = Table | Drawing | Cards
Make = Callable[[], Part | None]  # None: there is nothing to show


def cells(*texts: str) -> list[Cell]:
    """A row of plain cells."""
    return [Cell(text) for text in texts]


def plain(*texts: str | None) -> list[list[Marked]]:
    """Paragraphs without marks; long ones end in "…", those that are None are left out."""
    return [[Marked(shortened(text))] for text in texts if text is not None]


def shortened(text: str) -> str:
    """At most `MOST_CHARACTERS`, with what is left out counted."""
    if len(text) <= MOST_CHARACTERS:
        return text
    return f"{text[:MOST_CHARACTERS]}… ({len(text) - MOST_CHARACTERS:,} characters more)"
