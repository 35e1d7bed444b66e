"""Floating-point operations of a training step, counted from the matrix products (the PaLM convention)."""

from bert_jax.config import ModelConfig


def train_flops_per_sequence(config: ModelConfig, length: int, predictions: int) -> int:
    """FLOPs of forward and backward pass on one sequence of `length` tokens with `predictions` masked words.

    A product of [m, k] and [k, n] counts 2mkn; backward counts twice forward; look-ups, softmax and LayerNorm count
    nothing, and neither does what `remat` computes again.
    """
    hidden, mlp, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    projections = 2 * length * (4 * hidden * hidden + 2 * hidden * mlp)
    attention = 2 * 2 * length * length * hidden
    masked_lm = 2 * predictions * (hidden * hidden + hidden * config.vocab_size)
    next_sentence = 2 * (hidden * hidden + 2 * hidden)
    return 3 * (layers * (projections + attention) + masked_lm + next_sentence)
