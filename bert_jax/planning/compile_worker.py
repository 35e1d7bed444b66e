"""Compiles one phase's training step for described devices, in a process of its own: the TPU compiler may crash.

python -m bert_jax.planning.compile_worker DIRECTORY reads DIRECTORY/request.json and writes DIRECTORY/result.json and
DIRECTORY/step.txt, the compiled text. The parent is compilation.py.
"""

import dataclasses
import json
import math
import os
import re
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import jax
from jax.sharding import Mesh

from bert_jax.child_processes import end_with_parent
from bert_jax.config import Config, PhaseConfig
from bert_jax.config.file import from_dict
from bert_jax.data.packed_rows import pack_records
from bert_jax.data.schema import RecordFormat
from bert_jax.errors import UserError
from bert_jax.parallel.axes import batch_sharding
from bert_jax.parallel.mesh import make_mesh
from bert_jax.parallel.peak import measured_peak
from bert_jax.planning.compilation import Asked, Numbers, Result, TooLarge
from bert_jax.planning.scopes import product_flops
from bert_jax.planning.topologies import parse_topology
from bert_jax.storage.json_file import read_json
from bert_jax.training.pretraining import pretraining_program
from bert_jax.training.state import abstract_state


def compile_step(directory: Path) -> Result:
    """Compile what request.json asks for; the numbers of result.json. Bytes are of one device.

    Raises:
      UserError: the config does not go with the mesh.
    """
    request = read_json(directory / "request.json", Asked, "plan again")
    config = from_dict(request.config, "request.json", Config)
    phase = config.phases[request.phase]
    topology = parse_topology(request.topology)
    mesh = make_mesh(config.mesh, topology.describe(), config.model)
    program = pretraining_program(config, mesh, request.teacher).accumulating(phase.accumulates(config.train))
    state = abstract_state(program.model, program.optimizer, program.shardings)
    batch = _abstract_batch(request, phase, mesh)
    held = {"parameters": state["params"], "optimizer state": state["opt_state"], "batch": batch}
    held |= {"teacher": program.frozen_params} if request.teacher else {}
    sizes = {name: _local_bytes(tree) for name, tree in held.items()}
    started = time.monotonic()
    with jax.set_mesh(mesh):
        traced = cast(jax.stages.Wrapped, program.run_step).trace(state, batch, *program.frozen_params)
        try:
            compiled = traced.lower().compile()
        except jax.errors.JaxRuntimeError as error:
            return _refused(str(error), sizes)
    try:
        (directory / "step.txt").write_text(compiled.as_text())
    except jax.errors.JaxRuntimeError as error:
        return Result(compiler_error=unreadable(str(error)))
    return Result(
        Numbers(
            flops=product_flops(traced.jaxpr),
            bytes=sizes | _sizes_of_program(compiled),
            mesh=dict(mesh.shape),
            layout=list(program.layout),
            host_flops=None if topology.chip else measured_peak(config.train.dtype),
            compile_seconds=round(time.monotonic() - started, 1),
        )
    )


def _abstract_batch(request: Asked, phase: PhaseConfig, mesh: Mesh) -> dict[str, jax.ShapeDtypeStruct]:
    row = RecordFormat(phase.max_seq_length, request.max_predictions_per_seq).zeros()
    if request.packing:
        row = pack_records([], request.packing)
    return {
        name: jax.ShapeDtypeStruct((phase.rows, *zeros.shape), zeros.dtype, sharding=batch_sharding(mesh))
        for name, zeros in row.items()
    }


def _local_bytes(tree: Any) -> int:
    return sum(math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _sizes_of_program(compiled: Any) -> dict[str, int]:
    memory = compiled.memory_analysis()
    return {
        "arguments": memory.argument_size_in_bytes,
        "temporaries": memory.temp_size_in_bytes,
        "program": memory.generated_code_size_in_bytes,
    }


def _refused(message: str, sizes: dict[str, int]) -> Result:
    """What becomes of a refusal by the compiler: the step is too large, or something of its own."""
    if "RESOURCE_EXHAUSTED" not in message:
        return Result(compiler_error=message.splitlines()[0][:300])
    units = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
    all_of_it = re.search(r"[Uu]sed ([\d.]+)([KMGT]?) of ([\d.]+)([KMGT]?)", message)
    temporaries = re.search(r"temporaries \(([\d.]+)([KMGT]?)\) exceeds available HBM \(([\d.]+)([KMGT]?)\)", message)
    found = all_of_it or temporaries
    if not found:
        return Result(does_not_fit=TooLarge(sizes, used_bytes=math.nan, limit_bytes=math.nan))
    used, limit = (float(found[place]) * units[found[place + 1]] for place in (1, 3))
    used = used if all_of_it else used + sum(sizes.values())
    return Result(does_not_fit=TooLarge(sizes, used, limit))


def unreadable(message: str) -> str:
    """What to do where JAX does not understand a newer libtpu's program: 0.0.52's of v5p and v6e, with JAX 0.10.2."""
    own = [each.split(";")[0].strip() for each in metadata.requires("jax") or () if each.startswith("libtpu")]
    return (
        f"JAX {jax.__version__} cannot read this program of libtpu {metadata.version('libtpu')} "
        f"({message.splitlines()[0][:120]}); plan with its own: pip install '{own[0] if own else 'jax[tpu]'}'"
    )


def main(directory: Path) -> None:
    """Write result.json."""
    try:
        result = compile_step(directory)
    except UserError as error:
        result = Result(user_error=str(error))
    (directory / "result.json").write_text(json.dumps(dataclasses.asdict(result)))


if __name__ == "__main__":
    end_with_parent()  # nobody reads then what takes minutes and gigabytes
    main(Path(sys.argv[1]))
    sys.stdout.flush()
    os._exit(0)  # the TPU library may hang or crash while it is unloaded
