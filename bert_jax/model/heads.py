"""The masked-LM head (google-research/bert run_pretraining.py:240-283)."""

import jax
import jax.numpy as jnp
from flax import nnx

from bert_jax import scopes
from bert_jax.config import ModelConfig
from bert_jax.model.embeddings import tied_logits
from bert_jax.model.layer_norm import LayerNorm
from bert_jax.model.layers import ACTIVATIONS, linear
from bert_jax.parallel.axes import logical


class MaskedLmHead(nnx.Module):
    """Predicts the words at the masked positions; the output matrix is the word embedding itself."""

    def __init__(self, config: ModelConfig, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        sizes = config.hidden_size, config.table_width
        self.transform = linear(config, sizes, ("embed", "embed_out"), dtype, rngs)
        self.norm = LayerNorm(config, config.table_width, dtype, rngs)
        zeros = logical(jax.nn.initializers.zeros, "vocab")
        self.output_bias = nnx.Param(zeros(rngs.params(), (config.vocab_size,), jnp.float32))
        self.activation = ACTIVATIONS[config.hidden_act]

    def __call__(self, masked: jax.Array, word_embedding: jax.Array) -> jax.Array:
        """Hidden states of the masked tokens [batch, predictions, embed], word_embedding [rows, width] -> logits.

        The logits are float32 [batch, predictions, rows]; see tied_logits of rows that are no token.
        """
        return self.logits(self.features(masked), word_embedding)

    @jax.named_scope(scopes.MASKED_LM)
    def features(self, hidden: jax.Array) -> jax.Array:
        """Hidden states [batch, tokens, embed] -> what the output matrix is multiplied with [batch, tokens, width]."""
        return self.norm(self.activation(self.transform(hidden)))

    @jax.named_scope(scopes.MASKED_LM)
    def logits(self, features: jax.Array, word_embedding: jax.Array) -> jax.Array:
        """What `features` gives -> logits, as above."""
        logits = tied_logits(features.reshape(-1, features.shape[2]), word_embedding, self.output_bias[...])
        return logits.reshape(*features.shape[:2], -1)
