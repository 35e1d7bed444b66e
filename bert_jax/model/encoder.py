"""The encoder: embeddings, the layers one after the other, and the pooler.

Layers are attributes `layer_0`, `layer_1`, ... run by a plain loop, one parameter tree a layer: faster than a scan over
stacked parameters on TPU and CPU alike, and each weight has a name of its own.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from bert_jax.config import ModelConfig
from bert_jax.model import products
from bert_jax.model.dropout import dropout, split_key
from bert_jax.model.layer_norm import LayerNorm
from bert_jax.model.layers import MASKED_SCORE, Layer, kernel_init, linear
from bert_jax.parallel.axes import constrain, logical

# What is kept of a layer for the backward pass, by config.train.remat; "none" of it computed again needs no policy.
KEPT = {"dots": jax.checkpoint_policies.save_only_these_names(products.NAME), "full": None}


class EncoderOutput(NamedTuple):
    """What the encoder knows of a batch."""

    hidden_states: list[jax.Array]  # embeddings, then each layer's output: [batch, length, embed]; the last: see `read`
    pooled: jax.Array  # of the first token, after dense and tanh: [batch, embed], or of several: [batch, n, embed]


class Embeddings(nnx.Module):
    """Sum of word, position and token-type embedding, normalised."""

    def __init__(self, config: ModelConfig, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        def table(size: int, axis: str) -> nnx.Embed:
            init = logical(kernel_init(config), axis, "embed")
            return nnx.Embed(size, config.hidden_size, embedding_init=init, dtype=dtype, rngs=rngs)

        self.word = table(config.vocab_size, "vocab")
        self.position = table(config.max_position_embeddings, "position")
        self.token_type = table(config.type_vocab_size, "token_type")
        self.norm = LayerNorm(config, dtype, rngs)
        self.rate = config.hidden_dropout_prob

    @jax.named_scope("embeddings")
    def __call__(
        self,
        input_ids: jax.Array,
        segment_ids: jax.Array,
        dropout_key: jax.Array | None,
        position_ids: jax.Array | None = None,
    ) -> jax.Array:
        """input_ids, segment_ids, position_ids (default: 0, 1, ...) int32 [batch, length] -> [batch, length, embed]."""
        words = jnp.take(whole_table(self.word), input_ids, axis=0)
        token_types = jnp.take(whole_table(self.token_type), segment_ids, axis=0)
        positions = whole_table(self.position)
        positions = positions[None, : input_ids.shape[1]] if position_ids is None else positions[position_ids]
        return dropout(self.norm(words + token_types + positions), self.rate, dropout_key)


def whole_table(embed: nnx.Embed) -> jax.Array:
    """The table in its activation dtype, gathered over fsdp: looked up in pieces, XLA would copy the batch instead."""
    return constrain(embed.embedding[...].astype(embed.dtype), "vocab", "embed_out")


class Encoder(nnx.Module):
    """BERT without its pretraining heads."""

    def __init__(
        self, config: ModelConfig, dtype: jnp.dtype, remat: str, rngs: nnx.Rngs, by_sequence: bool = False
    ) -> None:
        """by_sequence: layers work on [batch, length, embed], else on rows of tokens [batch * length, embed]."""
        self.embeddings = Embeddings(config, dtype, rngs)
        for number in range(config.num_hidden_layers):
            setattr(self, f"layer_{number}", Layer(config, dtype, rngs))
        hidden = config.hidden_size
        self.pooler = linear(config, (hidden, hidden), ("embed", "embed_out"), dtype, rngs)
        self.num_layers = config.num_hidden_layers
        self.remat = remat
        self.by_sequence = by_sequence

    def __call__(
        self,
        input_ids: jax.Array,
        input_mask: jax.Array,
        segment_ids: jax.Array,
        dropout_key: jax.Array | None = None,
        position_ids: jax.Array | None = None,
        first_tokens: jax.Array | None = None,
        read: jax.Array | None = None,
    ) -> EncoderOutput:
        """input_ids, input_mask (1 token, 0 padding), segment_ids: int32 [batch, length]. No dropout without a key.

        dropout_key: one, or one for each row of the batch (model/dropout.py).
        position_ids: int32 [batch, length] where a row holds several sequences, which input_mask then numbers from 1;
            each attends to itself only.
        first_tokens: int32 [batch, n], where the sequences of a row begin; default: at 0.
        read: int32 [batch, m], the tokens whose last hidden state is asked for, as hidden_states[-1] [batch, m, embed];
            default: all. Of the others the last layer computes keys and values only, since nothing depends on more.
        """
        embeddings_key, *layer_keys = split_key(dropout_key, 1 + self.num_layers)
        score_bias = _score_bias(input_mask, packed=position_ids is not None)
        embedded = self.embeddings(input_ids, segment_ids, embeddings_key, position_ids)
        embedded = constrain(embedded, "batch", "length", "embed_out")
        hidden_states = [embedded]
        # Of rows, compilers transpose no activations for the kernels' gradients. Of sequences, TPUs transpose none for
        # attention; in either shape they join products with the sums of the LayerNorm around them.
        hidden = embedded if self.by_sequence else embedded.reshape(-1, embedded.shape[-1])
        axes = ("batch", "length", "embed_out") if self.by_sequence else ("batch", "embed_out")
        firsts = jnp.zeros((len(input_ids), 1), jnp.int32) if first_tokens is None else first_tokens
        wanted = None if read is None else jnp.concatenate([read, firsts], axis=1)
        for number, layer_key in enumerate(layer_keys):
            layer, is_last = getattr(self, f"layer_{number}"), number == self.num_layers - 1
            run = layer if self.remat == "none" else jax.checkpoint(layer.__call__, policy=KEPT[self.remat])
            hidden = run(hidden, score_bias, layer_key, wanted if is_last else None)
            hidden = constrain(hidden, *axes)
            hidden_states.append(hidden.reshape(len(input_ids), -1, hidden.shape[-1]))
        if read is None:
            first = jnp.take_along_axis(hidden_states[-1], firsts[:, :, None], axis=1)
        else:
            hidden_states[-1], first = jnp.split(hidden_states[-1], [read.shape[1]], axis=1)
        with jax.named_scope("next_sentence"):
            return EncoderOutput(hidden_states, jnp.tanh(self.pooler(first[:, 0] if first_tokens is None else first)))


def _score_bias(input_mask: jax.Array, packed: bool) -> jax.Array:
    """Added to the scores, float32 [batch, 1, keys, 1], or [batch, 1, keys, queries] of several sequences in a row."""
    attended = input_mask[:, :, None] > 0
    if packed:
        attended = attended & (input_mask[:, :, None] == input_mask[:, None, :])
    return jnp.where(attended, 0.0, MASKED_SCORE)[:, None]
