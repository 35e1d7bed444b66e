"""A model as pure functions: the weights are those that Flax itself would make, and only matrices are cast."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from bert_jax.model.pretraining import PretrainingModel, pretraining_model


def test_the_first_weights_are_flaxs_own(model_config):
    """Its keys are counted otherwise (functional.py), and must come out the same."""
    key = jax.random.key(5)
    theirs = nnx.to_pure_dict(nnx.state(PretrainingModel(model_config, jnp.dtype("float32"), nnx.Rngs(key))))
    jax.tree.map(np.testing.assert_array_equal, pretraining_model(model_config).init(key), theirs)


def test_matrices_and_tables_are_cast_for_the_step_and_vectors_are_not(model_config):
    model = pretraining_model(model_config, "bfloat16")
    used = jax.eval_shape(model.compute_params, model.abstract_params)
    for path, leaf in jax.tree_util.tree_leaves_with_path(used):
        assert leaf.dtype == (jnp.bfloat16 if leaf.ndim > 1 else jnp.float32), jax.tree_util.keystr(path)
    assert {leaf.dtype for leaf in jax.tree.leaves(model.abstract_params)} == {np.dtype(np.float32)}
