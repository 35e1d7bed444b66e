"""The counted operations against the matrix products that the model's own program has."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import pytest
from jax.extend.core import jaxprs_in_params

from bert_jax.config import ModelConfig, albert_base, bert_base, bert_large, roberta_base
from bert_jax.model.pretraining import pretraining_model
from bert_jax.objectives.pretraining import PretrainingObjective


def product_flops(jaxpr):
    """2mkn of every product in a program: twice the size of the result times the length of what is summed over."""
    total = 0
    for equation in jaxpr.eqns:
        inner = [product_flops(inner) for inner in jaxprs_in_params(equation.params)]
        total += max(inner) if equation.primitive.name == "cond" else sum(inner)  # one form a platform: one runs
        if equation.primitive.name == "dot_general":
            (summed, _), _ = equation.params["dimension_numbers"]
            left, result = equation.invars[0].aval, equation.outvars[0].aval
            terms = math.prod(left.shape[axis] for axis in summed)
            total += 2 * math.prod(result.shape) * terms * (terms > 1)  # of one term: a number spread out
    return total


@pytest.mark.parametrize(
    "config",
    [
        ModelConfig(vocab_size=30522),
        ModelConfig(vocab_size=101, hidden_size=24, num_hidden_layers=3, num_attention_heads=2, intermediate_size=40),
        dataclasses.replace(albert_base(), vocab_size=30_000),
        dataclasses.replace(roberta_base(), vocab_size=50_265),
        ModelConfig(
            vocab_size=101, pre_norm=True, gated_feed_forward=True, use_bias=False, position_embedding="rotary"
        ),
    ],
    ids=["base", "odd", "albert", "roberta", "all fields"],
)
def test_three_times_the_products_of_the_forward_pass(config):
    model, length, predictions = pretraining_model(config), 128, 20
    ids = jax.ShapeDtypeStruct((1, length), jnp.int32)
    positions = jax.ShapeDtypeStruct((1, predictions), jnp.int32)
    program = jax.make_jaxpr(model.apply)(model.abstract_params, ids, ids, ids, positions)
    assert PretrainingObjective(config).flops_per_row(length, predictions) == 3 * product_flops(program.jaxpr)


@pytest.mark.parametrize(
    ("size", "length", "predictions", "gigaflops"),
    [
        (bert_base, 128, 20, 69.9),
        (bert_base, 512, 76, 300.9),
        (bert_large, 128, 20, 240.6),
        (bert_large, 512, 76, 1019.8),
    ],
)
def test_the_sizes_that_people_quote(size, length, predictions, gigaflops):
    """They are of a last layer that makes all of its outputs, and not only those that are read."""
    config = dataclasses.replace(size(), vocab_size=30522)
    hidden, unread = config.hidden_size, length - predictions - 1
    query_and_output, feed_forward, scores = 2 * 2 * hidden**2, 2 * 2 * 4 * hidden**2, 2 * 2 * length * hidden
    unmade = 3 * unread * (query_and_output + feed_forward + scores)
    flops = PretrainingObjective(config).flops_per_row(length, predictions)
    assert (flops + unmade) / 1e9 == pytest.approx(gigaflops, abs=0.05)
