"""Floating-point operations of a training step, counted from the matrix products (the PaLM convention)."""

from bert_jax.config import ModelConfig


def train_flops_per_sequence(config: ModelConfig, length: int, predictions: int) -> int:
    """FLOPs of forward and backward pass on one sequence of `length` tokens with `predictions` masked words.

    A product of [m, k] and [k, n] counts 2mkn; backward counts twice forward; look-ups, softmax and LayerNorm count
    nothing, and neither does what `remat` computes again. The last layer's output is needed for the masked words and
    the first token only (model/encoder.py), and only that counts.
    """
    hidden, layers = config.hidden_size, config.num_hidden_layers
    read = min(predictions + 1, length)
    masked_lm = 2 * predictions * (hidden * hidden + hidden * config.vocab_size)
    next_sentence = 2 * (hidden * hidden + 2 * hidden)
    encoder = (layers - 1) * _layer_flops(config, length, length) + _layer_flops(config, length, read)
    return 3 * (encoder + masked_lm + next_sentence)


def _layer_flops(config: ModelConfig, length: int, read: int) -> int:
    """Forward FLOPs of a layer that makes `read` outputs from `length` tokens."""
    hidden, mlp = config.hidden_size, config.intermediate_size
    keys_and_values = 2 * length * 2 * hidden * hidden
    attention = 2 * 2 * read * length * hidden
    return keys_and_values + attention + 2 * read * (2 * hidden * hidden + 2 * hidden * mlp)
