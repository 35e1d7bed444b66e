"""Answers marked in the texts that they are cut out of: the model's and gold's."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

from bert_jax.reporting.answers.marks import Stretch, marked
from bert_jax.reporting.answers.parts import MOST_MISTAKES, Answered, Card, Cards, Make, Marked
from bert_jax.tasks.examples import QuestionExample
from bert_jax.tasks.scores.qa import by_question
from bert_jax.tasks.task import Prediction, Task

_MOST_RIGHT = 3
_AROUND = 300  # characters of the text before and after an answer
_KEYS = (("right", "right"), ("wrong", "the model's"), ("missed", "gold's"), ("wrong missed", "both"))


class _Asked(NamedTuple):
    f1: float
    example: QuestionExample
    prediction: Prediction


def qa_parts(task: Task, answered: Answered) -> Iterator[Make]:
    """The worst answers and a few right ones."""
    del task
    known = [(one, each) for one, each in answered if one.has_gold]
    if not known:
        return
    golds = [[text for text, _ in one.answers] for one, _ in known]
    f1 = by_question(golds, [each["answer"] for _, each in known])[1].tolist()
    asked = [_Asked(score, one, each) for score, (one, each) in zip(f1, known, strict=True)]
    yield partial(_worst, asked)
    yield partial(_right, asked)


def _worst(asked: Sequence[_Asked]) -> Cards:
    wrong = sorted((one for one in asked if one.f1 < 1), key=lambda one: (one.f1, -one.prediction["probability"]))
    explained = f"{len(wrong):,} of {len(asked):,} answers are not those of gold, word by word. " + (
        "First those that have no word in common with it, and of which the model was surest." * bool(wrong)
    )
    return Cards("Worst mistakes", explained, [_card(one) for one in wrong[:MOST_MISTAKES]], _KEYS if wrong else ())


def _right(asked: Sequence[_Asked]) -> Cards | None:
    right = [one for one in asked if one.f1 == 1 and one.prediction["answer"]]
    right.sort(key=lambda one: -one.prediction["probability"])
    return Cards("Some correct predictions", "", [_card(one) for one in right[:_MOST_RIGHT]]) if right else None


def _card(asked: _Asked) -> Card:
    example, prediction = asked.example, asked.prediction
    gold = " or ".join(dict.fromkeys(f"“{text}”" for text, _ in example.answers if text)) or "no answer"
    said = f"“{prediction['answer']}”" if prediction["answer"] else "no answer"
    heading = f"{said}, {100 * prediction['probability']:.0f}%; gold: {gold}"
    return Card(heading, [[Marked(example.question)], _context(example, prediction)], place=example.place)


def _context(example: QuestionExample, prediction: Prediction) -> list[Marked]:
    """The text around the answers; characters that are left out are "…"."""
    gold = [Stretch(start, start + len(text)) for text, start in example.answers if text and start >= 0]
    start = prediction["start"]
    said = [Stretch(start, start + len(prediction["answer"]))] if prediction["answer"] and start is not None else []
    gold = [one for one in gold if one in said][:1] or gold[:1]  # the one that was found, or the first
    edges = [edge for one in (*gold, *said) for edge in (one.start, one.stop)] or [0]
    first, last = max(0, min(edges) - _AROUND), min(len(example.context), max(edges) + _AROUND)
    gold, said = _moved(gold, first), _moved(said, first)
    before, after = "…" * (first > 0), "…" * (last < len(example.context))
    return [Marked(before), *marked(example.context[first:last], gold, said), Marked(after)]


def _moved(stretches: Sequence[Stretch], by: int) -> list[Stretch]:
    return [Stretch(one.start - by, one.stop - by) for one in stretches]
