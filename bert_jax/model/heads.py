"""The two pretraining heads and the model they sit on (google-research/bert run_pretraining.py:240-305)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from bert_jax.config import ModelConfig
from bert_jax.model.encoder import Encoder
from bert_jax.model.layer_norm import LayerNorm
from bert_jax.model.layers import ACTIVATIONS, linear
from bert_jax.model.products import product
from bert_jax.parallel.axes import logical

# The logit of a row that is no word: its probability is 0 and so is its gradient, in float32 exactly.
NEVER = -1e9


class PretrainingLogits(NamedTuple):
    """Unnormalised log-probabilities, float32."""

    masked_lm: jax.Array  # [batch, predictions, vocab]
    next_sentence: jax.Array  # [batch, 2], or packed [batch, n, 2]; 0: B follows A, 1: B is from another document


class MaskedLmHead(nnx.Module):
    """Guesses the words at the masked positions; the output matrix is the word embedding itself."""

    def __init__(self, config: ModelConfig, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        hidden = config.hidden_size
        self.transform = linear(config, (hidden, hidden), ("embed", "embed_out"), dtype, rngs)
        self.norm = LayerNorm(config, dtype, rngs)
        zeros = logical(jax.nn.initializers.zeros, "vocab")
        self.output_bias = nnx.Param(zeros(rngs.params(), (config.vocab_size,)))
        self.activation = ACTIVATIONS[config.hidden_act]

    @jax.named_scope("masked_lm")
    def __call__(self, masked: jax.Array, word_embedding: jax.Array) -> jax.Array:
        """Hidden states of the masked words [batch, predictions, embed], word_embedding [rows, embed] -> logits.

        The embedding may have more rows than the vocabulary has words; what fills it up is never guessed.
        """
        rows = self.norm(self.activation(self.transform(masked))).reshape(-1, masked.shape[2])
        logits = product("re,ve->rv", rows, word_embedding.astype(rows.dtype), jnp.float32)
        filled_up = word_embedding.shape[0] - len(self.output_bias[...])
        bias = jnp.pad(self.output_bias[...], (0, filled_up), constant_values=NEVER)
        # The bias as a product with ones: so its gradient is one, too, and no sum over rows, which is slow on CPUs.
        logits = logits + jnp.ones((len(rows), 1)) @ bias[None]
        return logits.reshape(*masked.shape[:2], -1)


class PretrainingModel(nnx.Module):
    """BERT with both heads, from a batch's ids to logits. Labels and loss are not its business."""

    def __init__(
        self, config: ModelConfig, dtype: jnp.dtype, rngs: nnx.Rngs, remat: str = "none", by_sequence: bool = False
    ) -> None:
        self.encoder = Encoder(config, dtype, remat, rngs, by_sequence)
        self.masked_lm = MaskedLmHead(config, dtype, rngs)
        self.next_sentence = linear(config, (config.hidden_size, 2), ("embed", "label"), dtype, rngs)

    def __call__(
        self,
        input_ids: jax.Array,
        input_mask: jax.Array,
        segment_ids: jax.Array,
        masked_lm_positions: jax.Array,
        dropout_key: jax.Array | None = None,
        position_ids: jax.Array | None = None,
        next_sentence_positions: jax.Array | None = None,
    ) -> PretrainingLogits:
        """int32 [batch, length] three times and [batch, predictions]. No dropout without a key.

        Rows of several sequences (data/packing.py) have position_ids [batch, length] and next_sentence_positions
        [batch, n], the first token of each.
        """
        # The loss reads the masked words and the first token, so the last layer makes no others.
        hidden_states, pooled = self.encoder(
            input_ids, input_mask, segment_ids, dropout_key, position_ids, next_sentence_positions, masked_lm_positions
        )
        word_embedding = self.encoder.embeddings.word.embedding[...]
        masked_lm = self.masked_lm(hidden_states[-1], word_embedding)
        with jax.named_scope("next_sentence"):
            return PretrainingLogits(masked_lm, self.next_sentence(pooled).astype(jnp.float32))
