"""A number an example: regression, where it is on gold's scale, and similarity, where only the order counts."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from bert_jax.reporting.answer_figures import scatter_figure
from bert_jax.reporting.answers.parts import (
    MOST_MISTAKES,
    Answered,
    Card,
    Cards,
    Drawing,
    Make,
    Marked,
    plain,
    shortened,
)
from bert_jax.tasks.task import Task


def regression_parts(task: Task, answered: Answered) -> Iterator[Make]:
    """Predicted vs. gold, the worst mistakes."""
    del task
    gold, predicted = [float(one.label) for one, _ in answered], [each["score"] for _, each in answered]
    explained = "A dot is an example; on the dashed line predicted and gold are equal."
    yield partial(_scatter, gold, predicted, same_scale=True, explained=explained)
    errors = np.asarray(predicted) - np.asarray(gold)
    yield partial(_worst_numbers, gold, answered, errors, "First those that are farthest from gold.")


def similarity_parts(task: Task, answered: Answered) -> Iterator[Make]:
    """Neighbours; with gold scores, those beside cosines and pairs out of order, else the positives least alike."""
    del task
    yield partial(_neighbours, answered)
    scored = [(one, each) for one, each in answered if one.score is not None]
    if not scored:
        yield partial(_least_alike, answered)
        return
    gold, predicted = [one.score for one, _ in scored], [each["score"] for _, each in scored]
    explained = "A dot is a pair, with gold's score and the cosine of its two texts. Only their order counts."
    yield partial(_scatter, gold, predicted, same_scale=False, explained=explained)
    errors = _ranks(predicted) - _ranks(gold)
    order = "First those whose place in the order, from least to most alike, is farthest from gold's."
    yield partial(_worst_numbers, gold, scored, errors, order)


def _scatter(gold: Sequence[float], predicted: Sequence[float], same_scale: bool, explained: str) -> Drawing:
    return Drawing("Predicted vs. gold", explained, scatter_figure(gold, predicted, same_scale))


def _worst_numbers(gold: Sequence[float], answered: Answered, errors: np.ndarray, explained: str) -> Cards:
    places = np.argsort(-np.abs(errors), kind="stable")[:MOST_MISTAKES].tolist()
    cards = [
        Card(
            f"gold {gold[place]:.2f}, predicted {answered[place][1]['score']:.2f}",
            plain(answered[place][0].text, answered[place][0].text2),
            place=answered[place][0].place,
        )
        for place in places
    ]
    return Cards("Worst mistakes", explained, cards)


def _neighbours(answered: Answered) -> Cards | None:
    """A few texts with those of the file that are nearest to them, and whether they belong together."""
    positives: dict[str, set[str]] = {}
    for one, _ in answered:
        if one.score is None:
            positives.setdefault(one.text, set()).add(one.text2)
    cards = [
        Card("", [*plain(one.text), *(_neighbour(near, positives.get(one.text)) for near in each["_neighbours"])])
        for one, each in answered
        if each.get("_neighbours")
    ]
    explained = "The first texts of the file, and the second texts that are nearest to each, with their cosines."
    keys = [("right", "belongs to it")] if positives else []
    return Cards("Neighbours", explained, cards, keys) if cards else None


def _neighbour(near: tuple[str, float], positives: set[str] | None) -> list[Marked]:
    text, cosine = near
    return [Marked(f"{cosine:.2f} "), Marked(shortened(text), "right" if positives and text in positives else "")]


def _least_alike(answered: Answered) -> Cards:
    """Anchors and their positives; `_rank` is that of the positive among those of all anchors."""
    worst = sorted(answered, key=lambda pair: (-pair[1].get("_rank", 1), pair[1]["score"]))[:MOST_MISTAKES]
    cards = [
        Card(f"rank {each.get('_rank', '?')}, cosine {each['score']:.2f}", plain(one.text, one.text2), place=one.place)
        for one, each in worst
    ]
    explained = "Texts that belong together, first those between which the model finds the most others more alike."
    return Cards("Worst mistakes", explained, cards)


def _ranks(values: Sequence[float]) -> np.ndarray:
    """Places in ascending order; equal values have the mean of theirs."""
    _, place, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[place]
