"""All that a model makes of a batch, for those who use it as a function."""

from typing import NamedTuple

import jax


class Outputs(NamedTuple):
    """What a model gives; None where it has no such part. B rows, L tokens a row, E numbers a state (hidden_size).

    In Transformers pooled is pooler_output, and pair_logits seq_relationship_logits; of the inputs segment_ids are
    token_type_ids there, and attention_mask has that name.

    Rows of several texts (a choice's, [B, texts, L]) have that axis in everything below, after B.

    Attributes:
        hidden_states: the embeddings, then each layer's output: each [B, L, E], in the dtype of the activations; those
            of padding mean nothing. With pre_norm, the sums that layers add to, but for the last one, which is what
            LayerNorm makes of its sum (as in Transformers' models of that kind).
        pooled: the first token's last state after the pooler's dense layer and tanh, [B, E].
        logits: float32. Of a model fine-tuned for a task: [B, outputs], [B, L, outputs] for tagging and qa, [B, texts]
            for choice, None for similarity. Of a pretrained one with its masked-LM head: [B, L, vocab_size], or
            [B, predictions, vocab_size] where the batch has masked_lm_positions.
        pair_logits: of the pretraining head for sentence pairs, float32 [B, 2]; 0: the second text follows the first.
    """

    hidden_states: tuple[jax.Array, ...]
    pooled: jax.Array | None = None
    logits: jax.Array | None = None
    pair_logits: jax.Array | None = None
