"""One job of several processes: each host of a TPU slice, each task of a Slurm job, or processes told by flags."""

import jax
from absl import flags

from bert_jax.errors import UserError

_DISTRIBUTED = flags.DEFINE_boolean(
    "distributed",
    False,
    "This process is one of several of one job; on Cloud TPU and Slurm JAX finds the others itself.",
)
_COORDINATOR = flags.DEFINE_string(
    "coordinator_address", None, "HOST:PORT of process 0, where JAX cannot find it itself; implies --distributed."
)
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "How many processes; goes with --coordinator_address.")
_PROCESS_ID = flags.DEFINE_integer(
    "process_id", None, "Which of them this is, from 0; goes with --coordinator_address."
)


def connect() -> None:
    """Join the job's other processes if the flags say that there are any; call before JAX touches a device.

    Raises:
      UserError: the flags do not go together, or the others cannot be reached.
    """
    given = [flag.value is not None for flag in (_COORDINATOR, _NUM_PROCESSES, _PROCESS_ID)]
    if any(given) and not all(given):
        raise UserError("--coordinator_address, --num_processes and --process_id go together; give all three or none")
    if not (any(given) or _DISTRIBUTED.value):
        return
    try:
        jax.distributed.initialize(_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"--distributed: the job's processes did not find each other ({reason}); "
            "give --coordinator_address, --num_processes and --process_id"
        ) from error
