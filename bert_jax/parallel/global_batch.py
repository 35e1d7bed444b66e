"""Global batches on the devices of a mesh, of which each process reads its own rows only."""

from collections.abc import Mapping

import jax
import numpy as np
from jax.sharding import Mesh

from bert_jax.parallel.axes import batch_sharding


def local_rows(mesh: Mesh, global_batch_size: int) -> np.ndarray:
    """The rows of a global batch that this process's devices hold, ascending; the only ones it reads."""
    slices = batch_sharding(mesh).addressable_devices_indices_map((global_batch_size,)).values()
    return np.unique(np.concatenate([np.arange(global_batch_size)[index] for index in slices]))


def on_devices(
    batch: Mapping[str, np.ndarray], rows: np.ndarray, global_batch_size: int, mesh: Mesh
) -> dict[str, jax.Array]:
    """The global arrays, of which `batch` holds the `rows` of this process."""
    sharding = batch_sharding(mesh)

    def lay_out(local: np.ndarray) -> jax.Array:
        def of_device(index: tuple[slice, ...] | None) -> np.ndarray:
            assert index is not None
            wanted = np.arange(global_batch_size)[index[0]]
            return local[np.searchsorted(rows, wanted)]

        return jax.make_array_from_callback((global_batch_size, *local.shape[1:]), sharding, of_device)

    return {name: lay_out(array) for name, array in batch.items()}
