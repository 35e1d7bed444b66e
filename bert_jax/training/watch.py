"""Everything that looks at a run while it trains and changes nothing in it: numbers, logs, trace, clock, report."""

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import jax
import numpy as np
from absl import logging
from etils import epath

from bert_jax.config import Config
from bert_jax.goodput import STEPS, Clock, goodput, said
from bert_jax.model.flops import train_flops_per_sequence
from bert_jax.training.bad_steps import SkippedSteps, Spikes
from bert_jax.training.inputs import PhaseInput, record_numbers
from bert_jax.training.meter import Interval, Meter
from bert_jax.training.optimizer import learning_rate_schedule
from bert_jax.training.telemetry import MetricsLog, Progress
from bert_jax.training.trace import Trace
from bert_jax.training.weights_and_biases import WeightsAndBiases

Report = Callable[[epath.PathLike], Any]


@dataclasses.dataclass(frozen=True)
class WatchState:
    """What the next lines need of the steps up to a checkpoint, in whose description it lies."""

    interval: Interval = dataclasses.field(default_factory=Interval)
    loss_spikes: int = 0  # of the interval
    recent_losses: list[float] = dataclasses.field(default_factory=list)  # that a spike is held against


class Watch:
    """Takes what each step gives when it is dispatched, reads it when the next one is on its way, and tells it.

    Every process of a job has one and sees the same numbers; only the first writes and reports.
    """

    def __init__(
        self,
        config: Config,
        directory: epath.Path,
        step: int,
        peak_flops: float,
        clock: Clock,
        report: Report | None,
        before: WatchState | None = None,
    ) -> None:
        """Watch a run that goes on after `step` steps, on devices of `peak_flops` FLOP/s together.

        `before` is the state at that step: with it the lines are those of a run that never stopped.
        """
        before = before or WatchState()
        is_main = jax.process_index() == 0
        self._config, self._directory, self.clock, self._step = config, directory, clock, step
        # All at once, now: a device that is asked for one while a step runs on it answers after the step.
        self._rates = np.asarray(learning_rate_schedule(config.optimizer, config.phases)(np.arange(config.total_steps)))
        self._skipped = SkippedSteps(directory, step, config.train.max_skipped_steps, writes=is_main)
        self._spikes, self._spiked = Spikes(config.train.spike_threshold, before.recent_losses), before.loss_spikes
        self._meter = Meter(peak_flops, self._see, before.interval)
        self._progress = Progress(config.total_steps, step)
        self._trace = Trace(directory / "profile", config.profile.span())
        self._logs: list[MetricsLog | WeightsAndBiases] = [MetricsLog(directory, step)] if is_main else []
        if is_main and config.train.wandb:
            self._logs.append(WeightsAndBiases(config.train.wandb, directory, config))
        self._report = _InBackground(report, directory) if is_main and report else None

    def start_phase(self, number: int, opened: PhaseInput) -> None:
        """Steps are those of this phase from now on."""
        phase, packing = opened.phase, opened.packing
        predictions = packing.predictions_per_row if packing else opened.manifest.max_predictions_per_seq
        flops = train_flops_per_sequence(self._config.model, phase.max_seq_length, predictions)
        rows = phase.rows
        self._meter.start_phase(rows * phase.max_seq_length, rows * flops)
        self._number, self._opened = number, opened
        self._next_kind = "compilation"  # of the phase's first step
        self._resume()

    def inputs(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The batches, with what the devices waited for each: at most that, since when they were done is not known."""
        iterator = iter(batches)
        while True:
            asked = time.perf_counter()
            batch = next(iterator, None)
            if batch is None:
                return
            if self._meter.idle():
                now = time.perf_counter()
                self._meter.waited(now - asked)
                self.clock.move(now - asked, "waiting for input", STEPS)
                self.clock.move(asked - self._busy_at, "waiting for the host", STEPS)
            yield batch

    @contextlib.contextmanager
    def dispatching(self, step: int) -> Iterator[None]:
        """Within it `step` is dispatched, and compiled if it is the first of its phase."""
        self._trace.before(step)
        with self.clock.spent(self._next_kind):
            yield
        self._next_kind = STEPS

    def add(self, step: int, sums: Mapping[str, Any]) -> None:
        """Take the sums of `step`, just dispatched. UserError if too many steps before it were skipped."""
        self._step = step
        ends = self._trace.ends_with(step)
        closes = step == self._opened.last_step or step % self._config.train.log_every_steps == 0
        finished = self._meter.add(step, sums, closes)
        self._busy_at = time.perf_counter()  # with `step`
        self._tell(finished)
        self._progress.update(step)
        self.clock.tell(step)
        if ends:
            self.flush()
            self._trace.stop()

    def flush(self) -> None:
        """Wait for the last step and tell everything up to it."""
        self._tell(self._meter.flush())

    def state(self) -> WatchState:
        """What a run that goes on after the last flush needs of this one."""
        return WatchState(self._meter.interval, self._spiked, list(self._spikes.losses))

    def stop_if_nothing_counted(self, step: int) -> None:
        """Raise UserError if all `step` steps of the run were skipped."""
        self._skipped.stop_if_all(step)

    def settle(self) -> None:
        """Return when what was told is in the workdir, also in an object store: before a checkpoint is."""
        for log in self._logs:
            if isinstance(log, MetricsLog):
                log.flush()

    @contextlib.contextmanager
    def pause(self, kind: str) -> Iterator[None]:
        """Within it no step runs, and time is spent on `kind`."""
        with self.clock.spent(kind):
            yield
        self._meter.pause()
        self._resume()

    def held_out(self, step: int, values: dict[str, float]) -> None:
        """Tell an evaluation, and draw the report again."""
        self._write("validation", step, values)
        self._progress.message(_held_out_line(step, values))
        if self._report:
            self._report.start()

    def _resume(self) -> None:
        self._busy_at = time.perf_counter()

    def _see(self, step: int, values: Mapping[str, float]) -> None:
        """One step's own numbers, shown by the meter."""
        if not values["skipped"]:
            self._spiked += self._spikes.see(step, values["loss"])
        opened = self._opened
        self._skipped.see(step, self._number, values, lambda: record_numbers(opened, self._config, step))

    def _tell(self, finished: tuple[int, dict[str, float]] | None) -> None:
        if finished:
            step, values = finished
            values |= {"learning_rate": float(self._rates[step - 1]), "loss_spikes": self._spiked}
            self._spiked = 0
            self._progress.update(step, values)
            self._write("train", step, values)

    def _write(self, split: str, step: int, values: Mapping[str, float]) -> None:
        for log in self._logs:
            log.write(split, step, {"phase": self._number, **values})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all, and tell where the time went."""
        self._trace.stop()
        self._progress.close()
        if self._report:
            self._report.wait()
        for log in self._logs:
            log.close()
        self.clock.tell(self._step, always=True)

    def end(self, step: int) -> None:
        """The process is about to leave the run, which has done `step` steps: write and tell where the time went."""
        self.clock.tell(step, always=True)
        found = goodput(self.clock.starts())
        if found and self._logs:
            logging.info("%s", said(found))


class _InBackground:
    """Draws the report beside the training, never twice at once; what goes wrong is said once and stops nothing."""

    def __init__(self, report: Report, directory: epath.Path) -> None:
        self._report, self._directory = report, directory
        self._thread: threading.Thread | None = None
        self._failed = False

    def start(self) -> None:
        if not (self._failed or (self._thread and self._thread.is_alive())):
            self._thread = threading.Thread(target=self._draw, daemon=True)
            self._thread.start()

    def wait(self) -> None:
        if self._thread:
            self._thread.join()

    def _draw(self) -> None:
        try:
            self._report(self._directory)
        except Exception as error:
            self._failed = True
            logging.warning("the report is not drawn while the run goes on: %s", error)


def _held_out_line(step: int, values: dict[str, float]) -> str:
    return (
        f"held-out at step {step}:  mlm_loss {values['masked_lm_loss']:.3f} (unigram {values['unigram_loss']:.3f})  "
        f"mlm_acc {values['masked_lm_accuracy']:.3f} (unigram {values['unigram_accuracy']:.3f})  "
        f"nsp_loss {values['next_sentence_loss']:.3f} (majority {values['majority_next_sentence_loss']:.3f})  "
        f"nsp_acc {values['next_sentence_accuracy']:.3f} (majority {values['majority_next_sentence_accuracy']:.3f})"
    )
