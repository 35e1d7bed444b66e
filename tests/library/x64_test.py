"""A model in a program that sets jax_enable_x64: all is float32, as the docstrings say."""

import jax
import numpy as np
import pytest

import bert_jax

LAYER_FIELDS = {"pre_norm": True, "position_embedding": "rotary", "use_bias": False, "gated_feed_forward": True}


def dtypes(tree):
    return {leaf.dtype.name for leaf in jax.tree.leaves(tree)}


@pytest.mark.parametrize("fields", [{}, LAYER_FIELDS])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_parameters_gradients_and_logits_are_float32(workdirs, fields, dtype):
    config = bert_jax.ModelConfig(**{**vars(workdirs.MODEL), **fields})
    plain = bert_jax.from_config(config, workdirs.TOKENIZER)
    with jax.enable_x64(True):
        model = bert_jax.from_config(config, workdirs.TOKENIZER, dtype=dtype)
        batch = model.encode(["The cat sat.", ("where is paris?", "In France.")])
        assert dtypes((model.params, model.init(jax.random.key(1)))) == {"float32"}
        outputs = model.apply(model.params, batch, training=True, rng=jax.random.key(0))
        assert dtypes((outputs.logits, outputs.pair_logits)) == {"float32"}
        assert dtypes(outputs.hidden_states) == {dtype}
        gradients = jax.grad(lambda params: model.apply(params, batch).logits.sum())(model.params)
        assert dtypes(gradients) == {"float32"}
    jax.tree.map(np.testing.assert_array_equal, model.params, plain.params)
