"""Matrices that are cut over eight devices come together whole, each on one device, and go back where they were."""

import itertools

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from bert_jax.config import MeshConfig
from bert_jax.parallel.mesh import make_mesh
from bert_jax.parallel.whole_matrices import on_whole_matrices

MESHES = [(8, 1, 1), (2, 2, 2), (1, 4, 2), (1, 1, 1)]
LAYOUTS = {  # as over_data_too makes them of kernels: data where neither fsdp nor tensor is
    "in": P("fsdp", "tensor"),
    "out": P("tensor", "fsdp"),
    "rows": P("data", None),
    "columns": P(None, "data"),
    "whole": P(None, None),
}
SHAPES = {"in": (16, 48), "out": (48, 16), "rows": (16, 48), "columns": (24, 8), "whole": (5, 3)}
EACH = 9  # matrices, one more than devices


def draw():
    random = np.random.default_rng(0)
    numbers = itertools.product(SHAPES, range(EACH))
    return {(kind, str(number)): random.normal(size=SHAPES[kind]).astype(np.float32) for kind, number in numbers}


@pytest.mark.parametrize("sizes", MESHES, ids=str)
def test_each_matrix_is_whole_on_one_device(sizes):
    mesh = make_mesh(MeshConfig(*sizes), jax.devices()[: np.prod(sizes)])
    matrices, stacks = draw(), []
    shardings = {path: NamedSharding(mesh, LAYOUTS[path[0]]) for path in matrices}

    def running_sums(stack):  # which a shard of a matrix cannot give
        stacks.append(stack.shape)
        return stack.cumsum(1).cumsum(2)

    found = jax.jit(lambda matrices: on_whole_matrices(running_sums, matrices, shardings), out_shardings=shardings)(
        {path: jax.device_put(matrix, shardings[path]) for path, matrix in matrices.items()}
    )
    for path, matrix in matrices.items():
        np.testing.assert_allclose(found[path], matrix.cumsum(0).cumsum(1), rtol=1e-5, atol=1e-5, err_msg=str(path))
    # "in" and "rows" have one shape; where both lie alike they are dealt out together.
    assert sum(shape[0] for shape in stacks) <= -(-EACH * len(SHAPES) // mesh.size) + len(SHAPES)
    assert {shape[1:] for shape in stacks} == set(SHAPES.values())
