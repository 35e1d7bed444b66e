"""What a pretraining run had spent when it had done a step: tokens, time in steps, FLOPs. Reads the train lines.

So two runs can be compared by what they cost: a curve is `points(run, split, metric, over="seconds")`.
"""

import bisect
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal

from bert_jax.reporting.run_history import Run

Over = Literal["step", "tokens", "seconds", "flops"]


@dataclasses.dataclass(frozen=True)
class Spent:
    """Up to a step. Steps that were repeated after a kill are in it once, and a branch has its parent run's in it.

    tokens: Of all rows, padding included.
    seconds: In steps alone, waiting for input included: no compilation, evaluation, checkpoint, nor while no process
      ran. None if no line has a rate.
    flops: Of forward and backward pass as MFU counts them, a teacher's forward pass among them. None if no line has
      them, as in runs of earlier versions.
    """

    step: int
    tokens: int
    seconds: float | None
    flops: float | None


def points(run: Run, split: str, metric: str, over: Over = "step") -> list[tuple[float, float]]:
    """(what was spent, value) wherever the metric was logged and was a number; [] if what was spent is not known."""
    spent = course(run)
    found = [(getattr(spent(step), over), value) for step, value in run.points(split, metric)]
    return [(at, value) for at, value in found if at is not None]


def course(run: Run) -> Callable[[int], Spent]:
    """A function of a step, up to the run's last one or beyond, which gives what had been spent when it was done."""
    stretches = _stretches(run)
    ends = [stretch.last_step for stretch in stretches]
    sums = [Spent(0, 0, 0.0, 0.0)]
    for stretch in stretches:
        sums.append(stretch.after(sums[-1], stretch.last_step))

    def spent(step: int) -> Spent:
        at = min(bisect.bisect_left(ends, step), len(stretches) - 1)
        return stretches[at].after(sums[at], step) if stretches else Spent(step, 0, None, None)

    return spent


@dataclasses.dataclass(frozen=True)
class _Stretch:
    """Steps of one phase up to a train line, which are taken to be equally fast."""

    last_step: int
    tokens: int  # a step
    tokens_per_second: float | None
    flops_per_token: float | None

    def after(self, before: Spent, step: int) -> Spent:
        tokens, rate = (step - before.step) * self.tokens, self.tokens_per_second
        seconds = before.seconds + tokens / rate if rate and before.seconds is not None else None
        known = self.flops_per_token is not None and before.flops is not None
        flops = before.flops + tokens * self.flops_per_token if known else None  # type: ignore[operator]
        return Spent(step, before.tokens + tokens, seconds, flops)


def _stretches(run: Run) -> list[_Stretch]:
    """The steps of all phases, in order, cut at the train lines; beyond a phase's last line they are as those before
    it, and those of a phase without lines as the next ones that are known.
    """
    lines = [*(run.parent.lines if run.parent else []), *run.lines]
    lines = sorted((line for line in lines if line["split"] == "train"), key=lambda line: line["step"])
    found = []
    for begun, phase in run.phases():
        end = begun + phase["steps"]
        own = [line for line in lines if begun < line["step"] <= end]
        rates, flops = (_filled(own, name) for name in ("tokens_per_second", "flops_per_token"))
        ends = [line["step"] for line in own]
        if not ends or ends[-1] < end:
            ends, rates, flops = [*ends, end], [*rates, *rates[-1:]], [*flops, *flops[-1:]]
        tokens = (phase.get("packed_rows") or phase["global_batch_size"]) * phase["max_seq_length"]
        of_lines = zip(ends, rates or [None], flops or [None], strict=True)
        found += [_Stretch(last, tokens, rate, of_token) for last, rate, of_token in of_lines]
    return _known_from_after(found)


def _known_from_after(stretches: Sequence[_Stretch]) -> list[_Stretch]:
    """The stretches, of which those with nothing known, as of a parent that is gone, are taken to be as the next."""
    found: list[_Stretch] = []
    rate = flops = None
    for stretch in reversed(stretches):
        rate, flops = stretch.tokens_per_second or rate, stretch.flops_per_token or flops
        found.append(dataclasses.replace(stretch, tokens_per_second=rate, flops_per_token=flops))
    return found[::-1]


def _filled(lines: Sequence[dict[str, Any]], name: str) -> list[float | None]:
    """A value of each line; of one without it (a single step after a pause has no rate) that of the nearest before it,
    or else after it.
    """
    values: list[float | None] = [line.get(name) for line in lines]
    first = next((value for value in values if value), None)
    for at, value in enumerate(values):
        values[at] = value or (values[at - 1] if at else first)
    return values
