"""One job of several processes: each host of a TPU slice, each task of a Slurm job, or processes given by flags.

A process that dies takes the job down within --peer_timeout_seconds; the same commands again resume it. How a process
learns of the death of another is the runtime's affair: a collective fails, or it only waits, until the coordinator
(process 0) has heard no heartbeat for so long and the runtime aborts the rest (SIGABRT; launch/pretrain.sh makes RESUME
of that).
"""

import atexit
import contextlib
import os
import sys
from collections.abc import Iterator

import jax
from absl import flags, logging

from bert_jax.errors import UserError

# Of a program that would fail again in just the same way. What the loss of another process looks like differs: Gloo,
# NCCL, the TPU's own network and the coordinator each have their words and codes for it.
_WOULD_FAIL_AGAIN = ("RESOURCE_EXHAUSTED", "INVALID_ARGUMENT", "UNIMPLEMENTED", "NOT_FOUND", "OUT_OF_RANGE")
RESUME = 75  # exit code (EX_TEMPFAIL of sysexits.h): nothing is wrong, the same command again resumes

_DISTRIBUTED = flags.DEFINE_boolean(
    "distributed",
    False,
    "This process is one of several of one job; on Cloud TPU and Slurm JAX finds the others itself.",
)
_COORDINATOR = flags.DEFINE_string(
    "coordinator_address", None, "HOST:PORT of process 0, where JAX cannot find it itself; implies --distributed."
)
_NUM_PROCESSES = flags.DEFINE_integer(
    "num_processes", None, "With --coordinator_address: number of processes of the job.", 1, 1_000_000
)
_PROCESS_ID = flags.DEFINE_integer(
    "process_id", None, "With --coordinator_address: number of this process, from 0.", 0, 999_999
)
_PEER_TIMEOUT = flags.DEFINE_integer(
    "peer_timeout_seconds",
    100,
    "Seconds that a process of the job may be silent before the others take it for dead and stop, to be resumed.",
    lower_bound=1,
    upper_bound=1_000_000,
)


@contextlib.contextmanager
def joined() -> Iterator[None]:
    """Within it this process is one of the job's, if the flags ask for several.

    Enter before JAX touches a device. When another process is lost meanwhile, that is reported in one line and this
    process exits with RESUME.

    Raises:
      UserError: the flags do not go together, or the others cannot be reached.
    """
    connect()
    try:
        yield
    except Exception as error:
        if not jax.distributed.is_initialized():
            raise
        if not isinstance(error, jax.errors.JaxRuntimeError) or str(error).startswith(_WOULD_FAIL_AGAIN):
            # The others are in a collective that this process will not join: let them see it gone, and do not wait
            # for them to end orderly, as JAX does at exit.
            _leave_at_exit(1)
            raise
        reason = str(error).splitlines()[0][:200]
        print(
            f"error: another process of the job is gone ({reason}); run the same commands again to resume",
            file=sys.stderr,
        )
        _leave_at_exit(RESUME)
        sys.exit(RESUME)


def is_first() -> bool:
    """Whether this is the job's first process, which writes what is written once; call within `joined`."""
    # One process knows that without JAX, which would start its devices to know it.
    return not jax.distributed.is_initialized() or jax.process_index() == 0


def _leave_at_exit(status: int) -> None:
    """End with `status` before JAX's own handlers at exit, which wait for the other processes; called after theirs."""

    def leave() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    atexit.register(leave)


def connect() -> None:
    """Join the job's other processes if the flags ask for several; call before JAX touches a device.

    Raises:
      UserError: the flags do not go together, or the others cannot be reached.
    """
    given = [flag.value is not None for flag in (_COORDINATOR, _NUM_PROCESSES, _PROCESS_ID)]
    if any(given) and not all(given):
        raise UserError("--coordinator_address, --num_processes and --process_id go together; give all three or none")
    if all(given) and (_PROCESS_ID.value or 0) >= (_NUM_PROCESSES.value or 0):
        raise UserError(
            f"--process_id={_PROCESS_ID.value} is none of --num_processes={_NUM_PROCESSES.value}: they count from 0"
        )
    if not (any(given) or _DISTRIBUTED.value):
        return
    try:
        jax.distributed.initialize(
            _COORDINATOR.value,
            _NUM_PROCESSES.value,
            _PROCESS_ID.value,
            heartbeat_timeout_seconds=_PEER_TIMEOUT.value,
        )
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"--distributed: the job's processes did not find each other ({reason}); "
            "give --coordinator_address, --num_processes and --process_id"
        ) from error
    if jax.process_index() > 0:
        logging.set_verbosity(logging.WARNING)  # process 0 logs the job's progress
