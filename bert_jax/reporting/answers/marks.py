"""Stretches of a text marked in two layers: gold's and the model's."""

from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import NamedTuple

from bert_jax.reporting.answers.parts import Marked


class Stretch(NamedTuple):
    """[start, stop) of words or characters; stretches of one layer do not overlap."""

    start: int
    stop: int
    name: str = ""


def marked(
    units: Sequence[str], gold: Collection[Stretch], predicted: Collection[Stretch], between: str = ""
) -> list[Marked]:
    """The text of `units`, with `between` between two of them, cut where a stretch begins or ends.

    A mark is "right" where a stretch is in both layers, else "wrong" (the model's), "missed" (gold's) or both words.
    What is between two units is marked where a stretch began before it.
    Its name is the note behind a stretch.
    """
    edges = {edge for stretch in (*gold, *predicted) for edge in (stretch.start, stretch.stop)}
    cuts = sorted({0, len(units), *(min(max(edge, 0), len(units)) for edge in edges)})
    found: list[Marked] = []
    for start, stop in pairwise(cuts):
        true, said = _covering(gold, start), _covering(predicted, start)
        is_within = any(one is not None and one.start < start for one in (true, said))
        space = between if start else ""
        if space and not is_within:
            found.append(Marked(space))
        text = (space if is_within else "") + between.join(units[start:stop])
        found.append(Marked(text, _mark(true, said), _note(true, said, stop)))
    return found


def _covering(stretches: Collection[Stretch], unit: int) -> Stretch | None:
    return next((stretch for stretch in stretches if stretch.start <= unit < stretch.stop), None)


def _mark(true: Stretch | None, said: Stretch | None) -> str:
    if true is not None and true == said:
        return "right"
    return " ".join(["wrong"] * (said is not None) + ["missed"] * (true is not None))


def _note(true: Stretch | None, said: Stretch | None, stop: int) -> str:
    """What ends here, gold's name in brackets where it is not the model's."""
    ended = said.name if said and said.stop == stop else ""
    missed = true.name if true and true.stop == stop and true != said else ""
    return " ".join([*([ended] if ended else []), *([f"(gold: {missed})"] if missed else [])])
