"""The encoder's first part, from ids to vectors, and the same table as output layer."""

import jax
import jax.numpy as jnp
from flax import nnx

from bert_jax import scopes
from bert_jax.config import ModelConfig
from bert_jax.model.dropout import dropout
from bert_jax.model.layer_norm import LayerNorm
from bert_jax.model.layers import kernel_init, linear
from bert_jax.model.products import product
from bert_jax.parallel.axes import constrain, logical

# The logit of a row that is no token: its probability is 0 and so is its gradient, in float32 exactly.
NO_TOKEN = -1e9
# Paths of the three tables among a model's parameters.
WORDS, POSITIONS, TOKEN_TYPES = (f"encoder/embeddings/{name}/embedding" for name in ("word", "position", "token_type"))


class Embeddings(nnx.Module):
    """Sum of word, position and token-type embedding, normalised, and brought to the layers' width if they are not.

    There are positions with position_embedding="learned", and token types if type_vocab_size is not 0.
    """

    def __init__(self, config: ModelConfig, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        def table(size: int, axis: str) -> nnx.Embed:
            init = logical(kernel_init(config), axis, "embed")
            return nnx.Embed(size, config.table_width, embedding_init=init, dtype=dtype, rngs=rngs)

        self.word = table(config.vocab_size, "vocab")
        self.has_positions = config.position_embedding == "learned"
        if self.has_positions:
            self.position = table(config.max_position_embeddings, "position")
        if config.type_vocab_size:
            self.token_type = table(config.type_vocab_size, "token_type")
        self.norm = LayerNorm(config, config.table_width, dtype, rngs, config.use_bias)
        if config.embedding_size:
            sizes = config.embedding_size, config.hidden_size
            self.projection = linear(config, sizes, ("embed", "embed_out"), dtype, rngs, config.use_bias)
        self.rate = config.hidden_dropout_prob
        self.has_token_types, self.has_projection = config.type_vocab_size > 0, config.embedding_size > 0
        self.has_one_type = config.type_vocab_size == 1

    @jax.named_scope(scopes.EMBEDDINGS)
    def __call__(
        self,
        input_ids: jax.Array,
        segment_ids: jax.Array,
        dropout_key: jax.Array | None,
        position_ids: jax.Array | None = None,
    ) -> jax.Array:
        """input_ids, segment_ids, position_ids (default: 0, 1, ...) int32 [batch, length] -> [batch, length, embed].

        Without token types, segment_ids are not read, nor position_ids without a table of positions; where there is one
        type, all tokens are of it, those of a pair's second text too.
        """
        if self.has_one_type:
            segment_ids = jnp.zeros_like(segment_ids)
        embedded = jnp.take(whole_table(self.word), input_ids, axis=0)
        if self.has_token_types:
            embedded = embedded + jnp.take(whole_table(self.token_type), segment_ids, axis=0)
        if self.has_positions:
            embedded = embedded + self._positions(input_ids.shape[1], position_ids)
        normalized = dropout(self.norm(embedded), self.rate, dropout_key)
        return self.projection(normalized) if self.has_projection else normalized

    def _positions(self, length: int, position_ids: jax.Array | None) -> jax.Array:
        """Rows of the table of positions: [1, length, embed], or [batch, length, embed] of position_ids."""
        table = whole_table(self.position)
        if position_ids is None:  # an index, [: length], would not be one of a length that is a symbol (jax.export)
            return jax.lax.slice_in_dim(table, 0, length)[None]
        return table[position_ids]


def whole_table(embed: nnx.Embed) -> jax.Array:
    """The table in its activation dtype, gathered over fsdp: looked up in shards, XLA would copy the batch instead."""
    return constrain(embed.embedding[...].astype(embed.dtype), "vocab", "embed_out")


def tied_logits(hidden: jax.Array, table: jax.Array, bias: jax.Array) -> jax.Array:
    """Hidden states [rows, embed], the word embedding [table rows, embed], bias [vocab] -> logits [rows, table rows].

    The table may have more rows than the vocabulary has tokens, where it was gathered (parallel/weight_update.py): no
    such row is ever predicted.
    """
    logits = product("re,ve->rv", hidden, table.astype(hidden.dtype), jnp.float32)
    bias = jnp.pad(bias, (0, len(table) - len(bias)), constant_values=NO_TOKEN)
    # The bias as a product with ones: so its gradient is one, too, and no sum over rows, for which XLA's CPU compiler
    # takes ten times as long.
    return logits + jnp.ones((hidden.shape[0], 1), jnp.float32) @ bias[None]
