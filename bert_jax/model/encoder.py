"""The encoder: embeddings and the layers, one after the other.

Layers are attributes `layer_0`, `layer_1`, ... run by a plain loop, one parameter tree a layer: faster than a scan over
stacked parameters on TPU and CPU alike, and each weight has a name of its own. Where layers share weights, there are
as many as have their own, and the loop calls each several times.
"""

import re
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from bert_jax import scopes
from bert_jax.config import ModelConfig
from bert_jax.model import products
from bert_jax.model.dropout import split_key
from bert_jax.model.embeddings import Embeddings
from bert_jax.model.layer_norm import LayerNorm
from bert_jax.model.layers import MASKED_SCORE, Layer, linear
from bert_jax.model.rotary import Rotations, rotation
from bert_jax.parallel.axes import constrain

# What is kept of a layer for the backward pass, by config.train.remat; "none" of it computed again needs no policy.
KEPT = {"dots": jax.checkpoint_policies.save_only_these_names(products.NAME), "full": None}
INPUTS = ("input_ids", "attention_mask", "segment_ids")  # the arguments that every model has


class Encoder(nnx.Module):
    """BERT without its pretraining heads."""

    def __init__(
        self,
        config: ModelConfig,
        dtype: jnp.dtype,
        remat: str,
        rngs: nnx.Rngs,
        by_sequence: bool = False,
        has_pooler: bool = True,
    ) -> None:
        """by_sequence: layers work on [batch, length, embed], else on rows of tokens [batch * length, embed].

        Of rows, compilers transpose no activations for the kernels' gradients. Of sequences, TPUs transpose none for
        attention; in either shape they join products with the sums of the LayerNorm around them.
        """
        self.embeddings = Embeddings(config, dtype, rngs)
        for number in range(config.distinct_layers):
            setattr(self, f"layer_{number}", Layer(config, dtype, rngs))
        hidden = config.hidden_size
        if config.pre_norm:
            self.final_norm = LayerNorm(config, hidden, dtype, rngs, config.use_bias)
        self.pre_norm = config.pre_norm
        # Numbers of a head that are rotated by positions: all or none.
        self.rotated = hidden // config.num_attention_heads if config.position_embedding == "rotary" else 0
        if has_pooler:
            self.pooler = linear(config, (hidden, hidden), ("embed", "embed_out"), dtype, rngs)
        self.layers_in_turn = tuple(map(config.distinct_layer, range(config.num_hidden_layers)))
        self.left_to_right = config.left_to_right
        self.remat = remat
        self.by_sequence = by_sequence

    def __call__(
        self,
        input_ids: jax.Array,
        attention_mask: jax.Array,
        segment_ids: jax.Array,
        dropout_key: jax.Array | None = None,
        position_ids: jax.Array | None = None,
        query_positions: jax.Array | None = None,
    ) -> list[jax.Array]:
        """The embeddings, then each layer's output: hidden states [batch, length, embed].

        With pre_norm these are sums that no LayerNorm has seen, but for the last one, as in Transformers' models.

        input_ids, attention_mask (1 token, 0 padding), segment_ids: int32 [batch, length]. No dropout without a key.
        dropout_key: one, or one for each row of the batch (model/dropout.py).
        position_ids: int32 [batch, length] where a row holds several sequences, which attention_mask then numbers from
            1; each attends to itself only.
        query_positions: int32 [batch, queries], the tokens whose last hidden state is asked for: that is [batch,
            queries, embed] then. Of the others the last layer computes keys and values only, since nothing depends on
            more.
        """
        embeddings_key, *layer_keys = split_key(dropout_key, 1 + len(self.layers_in_turn))
        hidden = self.embeddings(input_ids, segment_ids, embeddings_key, position_ids)
        hidden = constrain(hidden, "batch", "length", "embed_out")
        score_bias = _score_bias(attention_mask, position_ids is not None, self.left_to_right)
        rotations = self._rotations(input_ids, position_ids, query_positions)
        hidden_states = self._run_layers(hidden, score_bias, layer_keys, query_positions, rotations)
        if self.pre_norm:
            with jax.named_scope(scopes.FEED_FORWARD):
                hidden_states[-1] = self.final_norm(hidden_states[-1])
        return [hidden, *hidden_states]

    def _run_layers(
        self,
        embedded: jax.Array,
        score_bias: jax.Array,
        layer_keys: list[jax.Array | None],
        query_positions: jax.Array | None,
        rotations: tuple[Rotations | None, Rotations | None],
    ) -> list[jax.Array]:
        axes = ("batch", "length", "embed_out") if self.by_sequence else ("batch", "embed_out")
        hidden = embedded if self.by_sequence else embedded.reshape(-1, embedded.shape[-1])
        hidden_states = []
        in_turn = zip(self.layers_in_turn, layer_keys, strict=True)
        for done, (number, layer_key) in enumerate(in_turn, 1):
            is_last = done == len(layer_keys)
            queries = query_positions if is_last else None
            hidden = self._layer(number)(hidden, score_bias, layer_key, queries, rotations[is_last])
            hidden = constrain(hidden, *axes)
            hidden_states.append(hidden.reshape(embedded.shape[0], -1, hidden.shape[-1]))
        return hidden_states

    @jax.named_scope(scopes.ATTENTION)
    def _rotations(
        self, input_ids: jax.Array, position_ids: jax.Array | None, query_positions: jax.Array | None
    ) -> tuple[Rotations | None, Rotations | None]:
        """By what queries and keys are rotated: in all layers but the last, and in that one; None: they are not."""
        if not self.rotated:
            return None, None
        places = jnp.arange(input_ids.shape[1])[None] if position_ids is None else position_ids
        of_all = of_last_queries = rotation(places, self.rotated)
        if query_positions is not None:
            if position_ids is not None:
                query_positions = jnp.take_along_axis(position_ids, query_positions, axis=1)
            of_last_queries = rotation(query_positions, self.rotated)
        return Rotations(of_all, of_all), Rotations(of_last_queries, of_all)

    def _layer(self, number: int) -> Callable[..., jax.Array]:
        layer = getattr(self, f"layer_{number}")
        return layer if self.remat == "none" else jax.checkpoint(layer.__call__, policy=KEPT[self.remat])

    @jax.named_scope(scopes.POOLER)
    def pool(self, first: jax.Array) -> jax.Array:
        """The last hidden state of first tokens [..., embed] after dense and tanh, the same shape."""
        return jnp.tanh(self.pooler(first))


def layer_of(path: tuple[str, ...]) -> int | None:
    """The number of the layer that a parameter is of, from 0; None of what is before the layers, or behind."""
    return next((int(found[1]) for name in path if (found := re.fullmatch(r"layer_(\d+)", name))), None)


def parameter_group(path: tuple[str, ...], num_layers: int) -> str:
    """embeddings, lower_layers or upper_layers (half of `num_layers` each), or heads: all behind the layers.

    `num_layers` are those with weights of their own.
    """
    layer = layer_of(path)
    if layer is not None:
        return "lower_layers" if layer < (num_layers + 1) // 2 else "upper_layers"
    return "embeddings" if "embeddings" in path else "heads"


def _score_bias(attention_mask: jax.Array, packed: bool, left_to_right: bool) -> jax.Array:
    """Added to the scores, float32 [batch, 1, keys, 1], or [batch, 1, keys, queries] where it depends on the query."""
    attended = attention_mask[:, :, None] > 0
    if packed:
        attended = attended & (attention_mask[:, :, None] == attention_mask[:, None, :])
    if left_to_right:
        places = jnp.arange(attention_mask.shape[1])
        attended = attended & (places[:, None] <= places[None, :])[None]
    return jnp.where(attended, jnp.float32(0.0), jnp.float32(MASKED_SCORE))[:, None]
