"""Token types: with a table of one row, as others' models have it, all tokens are of that type."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.model.pretraining import pretraining_model


@pytest.mark.parametrize("types", [1, 2])
def test_a_pair_is_of_the_types_that_there_are(types, model_config):
    """With one, transformers ends with an IndexError; what could be looked up besides would be no number."""
    config = dataclasses.replace(model_config, type_vocab_size=types)
    model = pretraining_model(config)
    params = model.init(jax.random.key(0))
    ids = jnp.arange(16).reshape(2, 8)
    pair = jnp.array([[0] * 4 + [1] * 4] * 2)

    def states(segments):
        positions = jnp.arange(16).reshape(2, 8) % 8
        logits = model.apply(
            params,
            input_ids=ids,
            attention_mask=jnp.ones_like(ids),
            segment_ids=segments,
            masked_lm_positions=positions,
        )
        return np.asarray(logits.masked_lm)

    assert np.isfinite(states(pair)).all()
    assert np.array_equal(states(pair), states(jnp.zeros_like(pair))) == (types == 1)
