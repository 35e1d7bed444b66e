"""Floating-point operations of a forward pass, counted from the matrix products (the PaLM convention).

A product of [m, k] and [k, n] counts 2mkn; look-ups, rotations, softmax and LayerNorm count nothing, and neither does
what `remat` computes again. Backward counts twice forward.
"""

from bert_jax.config import ModelConfig


def encoder_flops(config: ModelConfig, length: int, queries: int) -> int:
    """FLOPs of the encoder on one sequence of `length` tokens of which `queries` outputs are asked for.

    The last layer makes no others (model/encoder.py), so no others count. A layer that several share counts as often as
    it runs.
    """
    projection = 2 * length * config.embedding_size * config.hidden_size
    whole_layers = (config.num_hidden_layers - 1) * _layer_flops(config, length, length)
    return projection + whole_layers + _layer_flops(config, length, queries)


def masked_lm_flops(config: ModelConfig, predictions: int) -> int:
    """FLOPs of the masked-LM head on as many tokens."""
    return 2 * predictions * config.table_width * (config.hidden_size + config.vocab_size)


def next_sentence_flops(config: ModelConfig) -> int:
    """FLOPs of the pooler and the next-sentence head on one sequence, of a model that has them."""
    return 2 * (config.hidden_size**2 + 2 * config.hidden_size)


def _layer_flops(config: ModelConfig, length: int, queries: int) -> int:
    """Forward FLOPs of a layer that makes `queries` outputs from `length` tokens."""
    hidden, mlp = config.hidden_size, config.intermediate_size
    keys_and_values = 2 * length * 2 * hidden * hidden
    attention = 2 * 2 * queries * length * hidden
    kernels = 3 if config.gated_feed_forward else 2
    return keys_and_values + attention + 2 * queries * (2 * hidden * hidden + kernels * hidden * mlp)
