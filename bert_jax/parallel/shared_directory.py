"""Do all processes of a job see the same directory? What several write, or resume from, is whole only there."""

import secrets

import jax
import numpy as np
from etils import epath
from jax.experimental import multihost_utils

from bert_jax.errors import UserError
from bert_jax.parallel.first_process import broadcast_from_first
from bert_jax.storage.cloud import is_remote


def check_is_shared(directory: epath.Path, flag: str = "--workdir") -> None:
    """See that what the first process writes into `directory`, which `flag` gave, is there for all; they all call this.

    Raises:
      UserError: in all processes, if it is not.
    """
    if jax.process_count() == 1 or is_remote(directory):
        return

    def mark() -> str:
        directory.mkdir(parents=True, exist_ok=True)
        name = f".shared-{secrets.token_hex(8)}"  # new: what a network disk has cached knows nothing of it
        (directory / name).touch()
        return name

    name = broadcast_from_first(mark)
    sees = multihost_utils.process_allgather(np.array((directory / name).exists()))
    if jax.process_index() == 0:
        (directory / name).unlink()
    if not sees.all():
        raise UserError(
            f"{flag}={directory} is another directory on process {int(np.argmin(sees))} of the job; give one that all "
            "hosts see, on a network disk or in gs://"
        )
