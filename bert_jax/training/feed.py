"""What the loop needs of the data of a stretch of a run: batches, in an order that a step number gives."""

from collections.abc import Iterator
from typing import Protocol

from jax.sharding import Mesh

from bert_jax.objectives.objective import Batch


class Feed(Protocol):
    """The steps from `first_step` to `last_step` of a run."""

    @property
    def first_step(self) -> int:
        """Steps of the run before the first of these."""
        ...

    @property
    def last_step(self) -> int:
        """Steps of the run up to the last of these, which is among them."""
        ...

    @property
    def accumulation_steps(self) -> int:
        """Into how many chunks a global batch is split, one computed after the other."""
        ...

    def shape_of(self, batch: Batch) -> tuple[int, int]:
        """Rows of a global batch, and tokens of a row; not all batches of a feed need have one shape."""
        ...

    @property
    def predictions(self) -> int:
        """Outputs of a row that the objective reads, at most; 0 where it reads the row as a whole."""
        ...

    def batches(self, mesh: Mesh, from_step: int) -> Iterator[Batch]:
        """Global batches on the devices, from the one after `from_step` steps of the run to the last."""
        ...

    def record_numbers(self, step: int) -> list[int]:
        """The numbers of the records that the run's `step`, counted from 1, reads; all rows of the global batch."""
        ...

    def held_out(self, mesh: Mesh) -> Iterator[Batch] | None:
        """The held-out batches in order; None if there are none. Rows that fill up the last are all zero."""
        ...
