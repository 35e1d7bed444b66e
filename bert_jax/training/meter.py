"""From the sums of single steps to the numbers of an interval: means, tokens a second, model FLOP utilisation."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax


@dataclasses.dataclass
class Interval:
    """The steps since the last line, as far as they are read; plain numbers, for a checkpoint's description."""

    totals: dict[str, float] = dataclasses.field(default_factory=dict)  # sums over the steps that count
    steps: int = 0  # that count
    skipped_steps: int = 0
    tokens: int = 0  # of all steps, padding included
    flops: int = 0
    timed_tokens: int = 0  # of the steps whose time is among the seconds
    timed_flops: int = 0
    seconds: float = 0.0
    input_wait: float = 0.0  # seconds


@dataclasses.dataclass(frozen=True)
class MonitorState:
    """What the next lines need of the steps up to a checkpoint, in whose description it lies."""

    interval: Interval = dataclasses.field(default_factory=Interval)
    loss_spikes: int = 0  # of the interval
    recent_losses: list[float] = dataclasses.field(default_factory=list)  # with which a spike is compared


class Meter:
    """Takes each step's sums when the step is dispatched and reads them only when the next one is on its way.

    So the device always has a step to work on, and never more than two wait for it. Time is counted from one moment at
    which it is known which steps are done to the next such moment, so that no step's time is counted as another's.
    """

    def __init__(
        self,
        peak_flops: float,
        means: Callable[[Mapping[str, float]], dict[str, float]],
        see: Callable[[int, Mapping[str, float]], None] | None = None,
        interval: Interval | None = None,
    ) -> None:
        """`peak_flops`: FLOP/s of all devices of the mesh together. `means`: the objective's, of sums.

        `see` is shown each step and its own numbers.

        A resumed run gives the `interval` that was open where it stopped, so that each step is in one line.
        """
        self._peak_flops, self._means = peak_flops, means
        self._tokens_per_step, self._flops_per_step = 0, 0
        self._begun_at: float | None = None  # since when the time of the steps that are not counted runs
        self._uncounted = (0, 0)  # their tokens and FLOPs
        self._see = see
        self._waiting: tuple[int, Mapping[str, Any], bool] | None = None
        self._waiting_size = (0, 0)
        self.interval = interval or Interval()

    def set_step_size(self, tokens_per_step: int, flops_per_step: int) -> None:
        """Steps that are added from now on are of this size."""
        self._tokens_per_step, self._flops_per_step = tokens_per_step, flops_per_step

    def add(self, step: int, sums: Mapping[str, Any], closes: bool) -> tuple[int, dict[str, float]] | None:
        """Take the sums of `step`, just dispatched; `closes` ends the interval with it.

        Returns:
          (step, values) of the interval that the step before has closed, if it did.
        """
        finished = self._read(sums)
        self._waiting = (step, sums, closes)
        self._waiting_size = (self._tokens_per_step, self._flops_per_step)
        if self._begun_at is None:
            jax.block_until_ready(sums)
            self._begun_at = time.perf_counter()
        else:
            tokens, flops = self._uncounted
            self._uncounted = (tokens + self._tokens_per_step, flops + self._flops_per_step)
        return finished

    def flush(self) -> tuple[int, dict[str, float]] | None:
        """Wait for the last step taken; returns as `add` does."""
        return self._read()

    def _read(self, following: Mapping[str, Any] | None = None) -> tuple[int, dict[str, float]] | None:
        """Read the last step taken; `following` are the sums of the one that was dispatched meanwhile."""
        if self._waiting is None:
            return None
        step, sums, closes = self._waiting
        self._waiting = None
        values = {name: float(value) for name, value in jax.device_get(sums).items()}
        if following is None or not _are_ready(following):  # else this step may have been done long ago
            self._count_time()
        interval = self.interval
        interval.tokens += self._waiting_size[0]
        interval.flops += self._waiting_size[1]
        if values["skipped"]:  # it is in no mean, since the weights never saw it
            interval.skipped_steps += 1
        else:
            interval.totals |= {name: interval.totals.get(name, 0.0) + value for name, value in values.items()}
            interval.steps += 1
        if self._see is not None:
            self._see(step, values | self._means(values))
        return (step, self._close(values)) if closes else None

    def idle(self) -> bool:
        """Whether the devices have done all that they were given."""
        return self._waiting is None or _are_ready(self._waiting[1])

    def waited(self, seconds: float) -> None:
        """The devices, which are idle, waited for their input till now."""
        self.interval.input_wait += seconds
        self._count_time()

    def compiles(self) -> None:
        """What happens until the next step is done, compilation above all, is not the steps' time, nor is that step."""
        self._begun_at, self._uncounted = None, (0, 0)

    def resume(self) -> None:
        """What happened since the last flush (an evaluation, a checkpoint) is not the steps' time."""
        if self._begun_at is not None:
            self._begun_at = time.perf_counter()

    def _count_time(self) -> None:
        """All steps that are not counted are done now."""
        tokens, flops = self._uncounted
        if self._begun_at is None or not tokens:
            return
        now = time.perf_counter()
        self.interval.seconds += now - self._begun_at
        self.interval.timed_tokens += tokens
        self.interval.timed_flops += flops
        self._begun_at, self._uncounted = now, (0, 0)

    def _close(self, last: Mapping[str, float]) -> dict[str, float]:
        """Means of the interval, but the update's norms are those of its `last` step, if they were measured there."""
        interval, self.interval = self.interval, Interval()
        values = self._means(interval.totals) if interval.steps else {}
        gradient_norms = (name for name in interval.totals if name.startswith("gradient_norm"))
        values |= {name: interval.totals[name] / interval.steps for name in gradient_norms}
        values |= {name: last[name] for name in last if name.startswith("update_norm") and last["update_norm"]}
        values["skipped_steps"] = interval.skipped_steps
        if interval.tokens:
            values["flops_per_token"] = interval.flops / interval.tokens
        if interval.seconds > 0:
            values["input_wait_share"] = min(1.0, interval.input_wait / interval.seconds)
            values["tokens_per_second"] = interval.timed_tokens / interval.seconds
            values["mfu"] = interval.timed_flops / interval.seconds / self._peak_flops
        return values


def _are_ready(sums: Mapping[str, Any]) -> bool:
    return all(value.is_ready() for value in sums.values())
