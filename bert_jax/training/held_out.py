"""When a run evaluates, and the evaluation that it still has to do where it was interrupted in one."""

import functools

from bert_jax.model.functional import Params
from bert_jax.objectives.objective import Batch, Sums
from bert_jax.training.evaluation import evaluate, jit_evaluation_step
from bert_jax.training.feed import Feed
from bert_jax.training.interruption import Interruption
from bert_jax.training.monitor import Monitor
from bert_jax.training.run import Run


class HeldOut:
    """Evaluates between two steps, with the parameters that it is given."""

    def __init__(self, run: Run, monitor: Monitor, interruption: Interruption, is_owed: bool) -> None:
        """`is_owed`: the evaluation of the step from which the run resumes was interrupted."""
        self.is_owed = is_owed
        self._run, self._monitor, self._interruption = run, monitor, interruption
        program = run.program
        where = program.mesh, program.shardings["params"], program.frozen
        make_step = functools.partial(jit_evaluation_step, program.objective, program.model, *where)
        self._step = functools.cache(make_step)  # of a number of chunks

    def is_due(self, step: int) -> bool:
        """Whether the run evaluates after `step`."""
        return step % self._run.evaluation.every_steps == 0 or step == self._run.total_steps

    def should_stop(self, step: int) -> bool:
        """Whether the evaluations up to `step` end the run: they have not become better for long."""
        return self._run.selection is not None and self._run.selection.should_stop(step)

    def evaluate(self, step: int, params: Params, feed: Feed) -> None:
        """Evaluate after `step` and log it; if the run is to stop before that is done, it is owed."""
        with self._monitor.pause("evaluation"):
            self.is_owed = False
            values = self._values(params, feed)
            self.is_owed = values is not None and self._interruption.is_requested
            if values is None or self.is_owed:
                return
            self._monitor.held_out(step, values)
            if self._run.selection:
                self._run.selection.record(step, values, params)

    def _values(self, params: Params, feed: Feed) -> dict[str, float] | None:
        until_requested = self._interruption.until_requested
        if self._run.evaluate:
            return self._run.evaluate(params, until_requested)
        program = self._run.program
        batches = feed.held_out(program.mesh)
        if batches is None:
            return None

        def step(params: Params, batch: Batch) -> tuple[Sums, Sums]:
            return self._step(feed.accumulation_steps)(params, batch, *program.frozen_params)

        return evaluate(program.objective, step, params, until_requested(batches))
