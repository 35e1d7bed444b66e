"""What the readers make of a labelled file, and a task of its rows: one dataclass for each shape of a task."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class TextExample:
    """A text or a pair of them, for classification, multilabel and regression."""

    place: str  # "train.tsv, line 12", for messages
    id: Any  # the row's own id as it stands there, None if it has none
    text: str
    text2: str | None  # None: a single text; "" is an empty second one
    label: Any  # str (classification), tuple[str, ...] (multilabel), float (regression), None: not given


@dataclasses.dataclass(frozen=True)
class ChoiceExample:
    """A text with what may follow it."""

    place: str
    id: Any
    text: str
    text2: str | None  # stands before each choice: a question, say
    choices: tuple[str, ...]  # two or more, not as many in each example
    label: int | None  # number of the right one, from 0


@dataclasses.dataclass(frozen=True)
class TaggingExample:
    """A sentence in words, each with a tag."""

    place: str  # of its first word
    id: Any
    words: tuple[str, ...]  # as they stand there, none empty
    tags: tuple[str, ...] | None  # as many as words


@dataclasses.dataclass(frozen=True)
class QuestionExample:
    """A question and the text that its answer is cut out of."""

    place: str
    id: Any
    question: str
    context: str
    answers: tuple[tuple[str, int], ...]  # (text, first character in `context`); -1: it is not where the file says
    is_impossible: bool  # the context does not answer it
    has_gold: bool  # False: neither answers nor is_impossible are known


@dataclasses.dataclass(frozen=True)
class PairExample:
    """Two texts, for similarity."""

    place: str
    id: Any
    text: str
    text2: str
    score: float | None  # as the file has it, the higher the more alike; None: text2 is a positive of text
    negatives: tuple[str, ...]  # texts that are none
