"""Everything that looks at a run while it trains and changes nothing in it: numbers, logs, trace, clock, report."""

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import jax
from absl import logging

from bert_jax.host_memory import give_back_freed
from bert_jax.objectives.metrics import evaluation_line
from bert_jax.training.feed import Feed
from bert_jax.training.loss_spikes import LossSpikes
from bert_jax.training.meter import Meter, MonitorState
from bert_jax.training.progress import RunProgress
from bert_jax.training.report_thread import Report, ReportThread
from bert_jax.training.run import Log, Run
from bert_jax.training.skipped_steps import SkippedSteps
from bert_jax.training.trace import Trace
from bert_jax.workdir.goodput import STEPS, Clock, describe_goodput, goodput


class Monitor:
    """Takes what each step gives when it is dispatched, reads it when the next one is on its way, and logs it.

    Every process of a job has one and sees the same numbers; only the first writes and reports.
    """

    def __init__(
        self,
        run: Run,
        step: int,
        clock: Clock,
        logs: Sequence[Log],
        report: Report | None,
        before: MonitorState | None = None,
    ) -> None:
        """Look at a run that resumes after `step` steps; `before` is the state at that step.

        With it the lines are those of a run that never stopped.
        """
        before = before or MonitorState()
        is_main, objective = jax.process_index() == 0, run.program.objective
        self.clock, self.skipped = clock, SkippedSteps(run.directory, step, run.train.max_skipped_steps, is_main)
        self._objective, self._rates, self._log_every = objective, run.learning_rates, run.train.log_every_steps
        self._spikes, self._spiked = LossSpikes(run.train.spike_threshold, before.recent_losses), before.loss_spikes
        self._meter = Meter(run.peak_flops, objective.means, self._see, before.interval)
        self._progress = RunProgress(run.total_steps, step, objective.metrics)
        self._trace = Trace(run.directory / "profile", run.profile.span(), step)
        self._logs = logs
        self._report = ReportThread(report, run.directory) if is_main and report else None
        self._step = step
        self._feed: Feed | None = None
        self._feed_number = 0
        self._next_kind = STEPS  # of the time in which the next step is dispatched
        self._busy_at = time.perf_counter()

    def start_feed(self, number: int, feed: Feed) -> None:
        """Steps are those of this feed from now on."""
        self._feed_number, self._feed = number, feed
        self._meter.compiles()
        self._next_kind = "compilation"  # of its first step
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
            self._measure(batch)
            yield batch

    def _measure(self, batch: Any) -> None:
        assert self._feed is not None
        rows, tokens = self._feed.shape_of(batch)
        flops = self._objective.flops_per_row(tokens, self._feed.predictions)
        self._meter.set_step_size(rows * tokens, rows * flops)

    @contextlib.contextmanager
    def dispatching(self, step: int) -> Iterator[None]:
        """Within it `step` is dispatched, and compiled if it is the first of its feed."""
        self._trace.before(step)
        with self.clock.spent(self._next_kind):
            yield
            if self._next_kind != STEPS:
                give_back_freed()  # the compiler's
        self._next_kind = STEPS

    def add(self, step: int, sums: Mapping[str, Any]) -> None:
        """Take the sums of `step`, just dispatched."""
        assert self._feed is not None
        self._step = step
        ends = self._trace.ends_with(step)
        finished = self._meter.add(step, sums, closes=step == self._feed.last_step or step % self._log_every == 0)
        self._busy_at = time.perf_counter()  # with `step`
        self._log_interval(finished)
        self._progress.update(step)
        self.clock.write(step)
        if ends:
            self.flush()
            self._trace.stop()

    def flush(self) -> None:
        """Wait for the last step and log everything up to it."""
        self._log_interval(self._meter.flush())

    def state(self) -> MonitorState:
        """What a run that resumes after the last flush needs of this one."""
        return MonitorState(self._meter.interval, self._spiked, list(self._spikes.losses))

    def flush_logs(self) -> None:
        """Return when what was logged is in the workdir, also in an object store: before a checkpoint is."""
        for log in self._logs:
            log.flush()

    @contextlib.contextmanager
    def pause(self, kind: str) -> Iterator[None]:
        """Within it no step runs, and time is spent on `kind`."""
        with self.clock.spent(kind):
            yield
        self._meter.resume()
        self._resume()

    def held_out(self, step: int, values: dict[str, float]) -> None:
        """Log an evaluation, and draw the report again."""
        self._write("validation", step, values)
        self._progress.message(evaluation_line(step, self._objective.metrics, values))
        if self._report:
            self._report.start()

    def _resume(self) -> None:
        self._busy_at = time.perf_counter()

    def _see(self, step: int, values: Mapping[str, float]) -> None:
        """One step's own numbers, from the meter."""
        assert self._feed is not None
        feed = self._feed
        if not values["skipped"]:
            self._spiked += self._spikes.record(step, values["loss"])
        self.skipped.record(step, self._feed_number, values, lambda: feed.record_numbers(step))

    def _log_interval(self, finished: tuple[int, dict[str, float]] | None) -> None:
        if finished:
            step, values = finished
            values |= {"learning_rate": float(self._rates[step - 1]), "loss_spikes": self._spiked}
            self._spiked = 0
            self._progress.update(step, values)
            self._write("train", step, values)

    def _write(self, split: str, step: int, values: Mapping[str, float]) -> None:
        for log in self._logs:
            log.write(split, step, {"phase": self._feed_number, **values})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all, and write where the time went."""
        self._trace.stop()
        self._progress.close()
        if self._report:
            self._report.wait()
        for log in self._logs:
            log.close()
        self.clock.write(self._step, always=True)

    def end(self, step: int) -> None:
        """The process is about to leave the run, which has done `step` steps: write and log where the time went."""
        self.clock.write(step, always=True)
        found = goodput(self.clock.starts())
        if found and self._logs:
            logging.info("%s", describe_goodput(found))
