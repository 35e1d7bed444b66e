"""A trace of the JAX profiler over chosen steps, in WORKDIR/profile, for TensorBoard's profile plugin or XProf."""

import jax
from absl import logging
from etils import epath

from bert_jax.storage.mirror import Mirror


class Trace:
    """Starts before the first of the chosen steps and stops when the last one is done."""

    def __init__(self, directory: epath.PathLike, span: tuple[int, int] | None, step: int = 0) -> None:
        """`span`: first and last step, counted from 1; None: no trace. The run resumes after `step` steps."""
        self._directory, self._span = directory, span
        self._running = False
        if span and span[1] <= step and not epath.Path(directory).exists():
            steps = f"{span[0]}-{span[1]}"
            logging.warning("--config.profile.steps=%s are done: the run resumes after step %d; no trace", steps, step)

    def before(self, step: int) -> None:
        """`step` is about to be dispatched."""
        if self._span and not self._running and self._span[0] <= step <= self._span[1]:
            self._mirror = Mirror(self._directory)
            jax.profiler.start_trace(str(self._mirror.local))
            self._running = True

    def ends_with(self, step: int) -> bool:
        """Whether `step` is the last one to trace: the caller waits for it then, and calls `stop`."""
        return self._running and self._span is not None and step == self._span[1]

    def stop(self) -> None:
        """Write the trace, if there is one."""
        if self._running:
            jax.profiler.stop_trace()
            self._mirror.close()
            self._running, self._span = False, None
            logging.info("the profiler's trace is in %s", self._directory)
