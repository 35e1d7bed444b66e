"""One of several continuations: the mistakes with the choices there were."""

from collections.abc import Iterator
from functools import partial
from typing import Literal

from bert_jax.reporting.answers.parts import MOST_MISTAKES, Answered, Card, Cards, Make, Option, plain, shortened
from bert_jax.tasks.examples import ChoiceExample
from bert_jax.tasks.task import Prediction, Task


def choice_parts(task: Task, answered: Answered) -> Iterator[Make]:
    """The worst mistakes."""
    del task
    yield partial(_worst, answered)


def _worst(answered: Answered) -> Cards:
    wrong = [(one, each) for one, each in answered if each["label"] != one.label]
    wrong.sort(key=lambda pair: -max(pair[1]["probabilities"], default=0.0))
    cards = [
        Card("", plain(one.text, one.text2), _options(one, each), one.place) for one, each in wrong[:MOST_MISTAKES]
    ]
    explained = f"{len(wrong):,} of {len(answered):,} are wrong. " + (
        "First those that it was surest of." * bool(cards)
    )
    return Cards("Worst mistakes", explained, cards)


def _options(example: ChoiceExample, prediction: Prediction) -> list[Option]:
    """In the file's order."""
    marks: dict[int | None, Literal["right", "wrong"]] = {prediction["label"]: "wrong", example.label: "right"}
    return [
        Option(shortened(text), share, marks.get(number, ""))
        for number, (text, share) in enumerate(zip(example.choices, prediction["probabilities"], strict=True))
    ]
