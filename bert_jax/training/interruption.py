"""Being asked to stop: SIGTERM (a machine that is taken away) and SIGINT (Ctrl-C), agreed upon by all processes.

Any one process of a job may get the signal, and all have to save at the same step. Each sends its signal to a small
maximum over all devices that is dispatched behind each step, and reads it when the step after is on its way, as the
metrics are read: no step waits for it. JAX's own preemption service would take the signal handler, and needs a
synchronisation point.
"""

import contextlib
import os
import signal
from collections.abc import Iterable, Iterator
from types import FrameType, TracebackType
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from bert_jax import ctrl_c
from bert_jax.parallel.axes import replicated
from bert_jax.parallel.processes import RESUME

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interruption:
    """Within its `with` block a first signal is noted, and nothing else happens: the loop asks, and stops in order.

    A second SIGINT is Ctrl-C as everywhere: it ends the process where it is. A second SIGTERM changes nothing.
    """

    def __init__(self, mesh: Mesh) -> None:
        self._here = 0  # the signal that this process has got, the first one
        self._has_sigint = False
        self._agreed = 0  # the one that all stop for
        self._before: dict[signal.Signals, Any] = {}
        self._sent: jax.Array | None = None
        if jax.process_count() > 1:
            self._sharding = NamedSharding(mesh, P(mesh.axis_names))
            self._size = mesh.size
            self._most = jax.jit(jnp.max, out_shardings=replicated(mesh))

    def agree(self) -> bool:
        """Whether the run is to stop. Every process asks equally often, behind a step, and gets the same."""
        if self._agreed:
            return True
        if jax.process_count() == 1:
            self._agreed = self._here
        else:
            before, self._sent = self._sent, self._send()
            self._agreed = int(before) if before is not None else 0
        return self.is_requested

    def until_requested(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The batches, ending early when the run is to stop."""
        for batch in batches:
            if self.agree():
                return
            yield batch

    @property
    def is_requested(self) -> bool:
        """What `agree` gave last."""
        return bool(self._agreed)

    def leave_if_requested(self, step: int) -> None:
        """End the process, whose `step` is saved: SystemExit with RESUME, or KeyboardInterrupt after Ctrl-C."""
        if not self._agreed:
            return
        name = signal.Signals(self._agreed).name
        if self._agreed == signal.SIGINT:
            logging.info("%s: step %d is saved", name, step)
            raise KeyboardInterrupt
        logging.info("%s: step %d is saved; exit code %d: run the same command again to resume", name, step, RESUME)
        raise SystemExit(RESUME)

    def _send(self) -> jax.Array:
        here = np.array([self._here], np.int32)
        return self._most(jax.make_array_from_callback((self._size,), self._sharding, lambda _: here))

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number == signal.SIGINT:
            if self._has_sigint:
                ctrl_c.leave()
            self._has_sigint = True
        # os.write, since a log line may be just being written where the signal came in.
        again = "already " if self._here else ""
        name = signal.Signals(number).name
        with contextlib.suppress(OSError):
            os.write(2, f"{name}: {again}stopping after this step, with a checkpoint\n".encode())
        self._here = self._here or number

    def __enter__(self) -> Self:
        if ctrl_c.noted():  # before this was entered, with its KeyboardInterrupt lost
            raise KeyboardInterrupt
        with contextlib.suppress(ValueError):  # not in the main thread: the caller sees to signals
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
