"""When a run evaluates, and the evaluation that it still has to do where it was interrupted in one."""

from bert_jax.model.functional import Params
from bert_jax.training.evaluation import evaluate, jit_evaluation_step
from bert_jax.training.feed import Feed
from bert_jax.training.interruption import Interruption
from bert_jax.training.monitor import Monitor
from bert_jax.training.run import Run


class HeldOut:
    """Evaluates between two steps, with the parameters that it is given."""

    def __init__(self, run: Run, monitor: Monitor, interruption: Interruption, is_owed: bool) -> None:
        """`is_owed`: the evaluation of the step from which the run goes on was interrupted."""
        program = run.program
        self.is_owed = is_owed
        self._run, self._monitor, self._interruption = run, monitor, interruption
        self._step = jit_evaluation_step(program.objective, program.model, program.mesh, program.shardings["params"])

    def is_due(self, step: int) -> bool:
        """Whether the run evaluates after `step`."""
        return step % self._run.evaluation.every_steps == 0 or step == self._run.total_steps

    def evaluate(self, step: int, params: Params, feed: Feed) -> None:
        """Evaluate after `step` and log it; if the run is to stop before that is done, it is owed."""
        with self._monitor.pause("evaluation"):
            batches = feed.held_out(self._run.program.mesh)
            self.is_owed = False
            if batches is None:
                return
            batches = self._interruption.until_requested(batches)
            values = evaluate(self._run.program.objective, self._step, params, batches)
            self.is_owed = self._interruption.is_requested
            if not self.is_owed:
                self._monitor.held_out(step, values)
