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
from bert_jax.model.layers import MASKED_SCORE, Layer, linear
from bert_jax.parallel.axes import constrain

# What is kept of a layer for the backward pass, by config.train.remat; "none" of it computed again needs no policy.
KEPT = {"dots": jax.checkpoint_policies.save_only_these_names(products.NAME), "full": None}


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
        return [hidden, *self._run_layers(hidden, score_bias, layer_keys, query_positions)]

    def _run_layers(
        self,
        embedded: jax.Array,
        score_bias: jax.Array,
        layer_keys: list[jax.Array | None],
        query_positions: jax.Array | None,
    ) -> list[jax.Array]:
        axes = ("batch", "length", "embed_out") if self.by_sequence else ("batch", "embed_out")
        hidden = embedded if self.by_sequence else embedded.reshape(-1, embedded.shape[-1])
        hidden_states = []
        in_turn = zip(self.layers_in_turn, layer_keys, strict=True)
        for done, (number, layer_key) in enumerate(in_turn, 1):
            queries = query_positions if done == len(layer_keys) else None
            hidden = constrain(self._layer(number)(hidden, score_bias, layer_key, queries), *axes)
            hidden_states.append(hidden.reshape(embedded.shape[0], -1, hidden.shape[-1]))
        return hidden_states

    def _layer(self, number: int) -> Callable[..., jax.Array]:
        layer = getattr(self, f"layer_{number}")
        return layer if self.remat == "none" else jax.checkpoint(layer.__call__, policy=KEPT[self.remat])

    @jax.named_scope(scopes.POOLER)
    def pool(self, first: jax.Array) -> jax.Array:
        """The last hidden state of first tokens [..., embed] after dense and tanh, the same shape."""
        return jnp.tanh(self.pooler(first))


def parameter_group(path: tuple[str, ...], num_layers: int) -> str:
    """embeddings, lower_layers or upper_layers (half of `num_layers` each), or heads, which the pooler belongs to.

    `num_layers` are those with weights of their own.
    """
    layer = next((int(found[1]) for name in path if (found := re.fullmatch(r"layer_(\d+)", name))), None)
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
    return jnp.where(attended, 0.0, MASKED_SCORE)[:, None]
