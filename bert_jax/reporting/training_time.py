"""How long a run trained itself, without its parent: by the log of its starts, or else by the lines of its metrics."""

from bert_jax.reporting.course import course
from bert_jax.reporting.run_history import Run
from bert_jax.workdir.goodput import STEPS

_COUNTED = (STEPS, "evaluation", "waiting for input", "waiting for the host")


def training_time(run: Run) -> tuple[float, str]:
    """Seconds, and what is in them: of all starts, as far as they were written, or else as the metrics have it."""
    counted = sum(start.seconds.get(kind, 0.0) for start in run.starts for kind in _COUNTED)
    if counted > 0 and _all_starts_are_known(run):
        return counted, "evaluation included"
    spent = course(run)
    in_steps, before = spent(run.last_step()).seconds, spent(run.parent.step if run.parent else 0).seconds
    if in_steps is None or before is None:
        return run.seconds(), "evaluation included"
    return in_steps - before, "evaluation not included"


def _all_starts_are_known(run: Run) -> bool:
    """Whether the log is of the first one too: an earlier version wrote none, nor does one that is killed at once."""
    return not run.lines or run.starts[0].started <= run.lines[0]["time"]
