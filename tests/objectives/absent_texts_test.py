"""Texts that are not there, in rows that fill a batch up or have fewer hard negatives: all gradients stay numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.objectives.similarity import ContrastiveObjective, CosentObjective, CosineObjective


@pytest.mark.parametrize(
    "kind",
    [
        ContrastiveObjective,
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in (CosentObjective, CosineObjective)),
    ],
)
def test_gradients_are_those_of_the_batch_without_them(model_config, kind):
    objective = kind(model_config, 0, (), "embedding")
    texts = 3 if kind is ContrastiveObjective else 2
    random = np.random.default_rng(0)
    vectors = random.normal(size=(4, texts, 8)).astype(np.float32)
    batch = {
        "text_groups": np.arange(1, 4 * texts + 1, dtype=np.int32).reshape(4, texts),
        "labels": np.float32([0.1, 0.9, 0.5, 0.3]),
        "row_weights": np.ones(4, np.float32),
        "example_weights": np.ones(4, np.float32),
    }

    def gradient(vectors, batch):
        def loss(vectors):
            sums = objective.sums(vectors, batch)
            return objective.loss(sums, objective.weights(batch))

        return jax.grad(loss)(jnp.asarray(vectors))

    filled = {name: np.concatenate([array, np.zeros_like(array[:2])]) for name, array in batch.items()}
    with_absent = gradient(np.concatenate([vectors, np.zeros_like(vectors[:2])]), filled)
    np.testing.assert_allclose(with_absent[:4], gradient(vectors, batch), rtol=1e-5, atol=1e-7)
    assert not np.asarray(with_absent[4:]).any()
