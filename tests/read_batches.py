"""One process of a job that only reads: what lies on its devices at each step, and which records it asked for.

Run by tests/pod_test.py.
"""

import dataclasses

import jax
import numpy as np
from absl import app, flags

from bert_jax.config import Config, DataConfig, MeshConfig, PhaseConfig
from bert_jax.parallel.mesh import make_mesh
from bert_jax.parallel.processes import connect
from bert_jax.training.open_phases import open_phases

_RECORDS = flags.DEFINE_string("records", None, "Directory.")
_OUTPUT = flags.DEFINE_string("output", None, "Arrays, as .npz.")
_FIRST_STEP = flags.DEFINE_integer("first_step", 0, "First.")
_LAST_STEP = flags.DEFINE_integer("last_step", 0, "One after the last.")
_ROWS = flags.DEFINE_integer("rows", 0, "Global batch size.")
_MESH = flags.DEFINE_multi_integer("mesh", None, "data, fsdp, tensor.")


class Noting:
    """The records, with a note of each number that was asked for."""

    def __init__(self, source):
        self.source, self.read = source, []
        self.manifest, self.directory = source.manifest, source.directory

    def __len__(self):
        return len(self.source)

    def fetch(self, records):
        self.read.extend(records)
        return self.source.fetch(records)


def on_this_process(array):
    """The rows that this process's devices hold, and what is in them."""
    held = {}
    for shard in array.addressable_shards:
        for row, values in zip(np.arange(array.shape[0])[shard.index[0]], np.asarray(shard.data), strict=True):
            assert row not in held or np.array_equal(held[row], values)
            held[int(row)] = values
    rows = sorted(held)
    return rows, np.stack([held[row] for row in rows])


def main(argv):
    del argv
    connect()
    phase = PhaseConfig(steps=_LAST_STEP.value, global_batch_size=_ROWS.value, max_seq_length=32)
    config = Config(phases=(phase,), data=DataConfig(records=_RECORDS.value), mesh=MeshConfig(*_MESH.value))
    (opened,) = open_phases(config)
    noting = Noting(opened.train)
    mesh = make_mesh(config.mesh)
    arrays = {}
    batches = dataclasses.replace(opened, train=noting).batches(mesh, _FIRST_STEP.value)
    for step, batch in enumerate(batches, _FIRST_STEP.value):
        for name, array in batch.items():
            arrays[f"{step}/rows"], arrays[f"{step}/{name}"] = on_this_process(array)
    np.savez(_OUTPUT.value, read=np.array(noting.read), **arrays)
    jax.effects_barrier()


if __name__ == "__main__":
    app.run(main)
