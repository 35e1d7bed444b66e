"""Weights of a pretraining model, none of which is like another."""

import jax
import numpy as np

from bert_jax.model.pretraining import pretraining_model


def random_params(config, seed=0, sd=0.2):
    """Nested dict of float32 arrays: normal, of this standard deviation, vectors too."""
    random = np.random.default_rng(seed)
    abstract = pretraining_model(config).abstract_params
    return jax.tree.map(lambda leaf: random.normal(0, sd, leaf.shape).astype(np.float32), abstract)
