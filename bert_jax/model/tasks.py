"""BERT with a head for a task (arXiv 1810.04805, section 4): one of a few, by what of the hidden states it reads.

All take input_ids, attention_mask and segment_ids, int32 [batch, length] ([batch, texts, length] of several texts a
row), and a dropout key (or one a row, or None), and give float32.
"""

import functools

import jax
import jax.numpy as jnp
from flax import nnx

from bert_jax.config import ModelConfig
from bert_jax.model.dropout import dropout, split_key
from bert_jax.model.encoder import Encoder, parameter_group
from bert_jax.model.functional import Model, functional
from bert_jax.model.layers import at_positions, linear
from bert_jax.model.outputs import Outputs

Key = jax.Array | None


class TaskModel(nnx.Module):
    """The encoder and one dense layer, `classifier`, with as many outputs as the task has."""

    has_pooler = True

    def __init__(
        self, config: ModelConfig, outputs: int, dtype: jnp.dtype, rngs: nnx.Rngs, remat: str, by_sequence: bool
    ) -> None:
        self.encoder = Encoder(config, dtype, remat, rngs, by_sequence, self.has_pooler)
        if outputs:
            self.classifier = linear(config, (config.hidden_size, outputs), ("embed", "label"), dtype, rngs)
        self.rate, self.left_to_right = config.hidden_dropout_prob, config.left_to_right

    def pooled(self, input_ids: jax.Array, attention_mask: jax.Array, segment_ids: jax.Array, key: Key) -> jax.Array:
        """The pooler's output of the first token [batch, embed]; the last layer makes no other.

        Where tokens see only those before them, it is that of the last token, which sees all.
        """
        place = self._place_of_pooled(attention_mask)
        states = self.encoder(input_ids, attention_mask, segment_ids, key, query_positions=place)
        return self.encoder.pool(states[-1][:, 0])

    def _place_of_pooled(self, attention_mask: jax.Array) -> jax.Array:
        """Int32 [batch, 1]."""
        if self.left_to_right:
            return jnp.maximum(attention_mask.sum(axis=1, keepdims=True, dtype=jnp.int32) - 1, 0)
        return jnp.zeros((attention_mask.shape[0], 1), jnp.int32)

    def outputs(
        self, input_ids: jax.Array, attention_mask: jax.Array, segment_ids: jax.Array, dropout_key: Key = None
    ) -> Outputs:
        """All that there is, of all tokens; of [batch, length], or of [batch, texts, length] whatever the head."""
        encoder_key, head_key = split_key(dropout_key, 2)
        ids, mask, segments = (array.reshape(-1, array.shape[-1]) for array in (input_ids, attention_mask, segment_ids))
        states = self.encoder(ids, mask, segments, encoder_key)
        pooled = self._pooled_of(states[-1], mask) if self.has_pooler else None
        logits = self._logits_of(states[-1], pooled, head_key)
        return jax.tree.map(
            lambda array: array.reshape(*input_ids.shape[:-1], *array.shape[1:]), Outputs(tuple(states), pooled, logits)
        )

    def _pooled_of(self, last: jax.Array, attention_mask: jax.Array) -> jax.Array:
        return self.encoder.pool(at_positions(last, self._place_of_pooled(attention_mask))[:, 0])

    def _logits_of(self, last: jax.Array, pooled: jax.Array | None, key: Key) -> jax.Array | None:
        """From the last hidden states [rows, length, embed], or what is pooled of them."""
        return self.logits(last if pooled is None else pooled, key)

    def logits(self, hidden: jax.Array, key: Key) -> jax.Array:
        """Dropout and the dense layer."""
        return self.classifier(dropout(hidden, self.rate, key)).astype(jnp.float32)


class SequenceModel(TaskModel):
    """A number or several of a whole row, from the pooled first token (run_classifier.py:574-614)."""

    def __call__(
        self, input_ids: jax.Array, attention_mask: jax.Array, segment_ids: jax.Array, dropout_key: Key = None
    ) -> jax.Array:
        """-> [batch, outputs]."""
        encoder_key, head_key = split_key(dropout_key, 2)
        return self.logits(self.pooled(input_ids, attention_mask, segment_ids, encoder_key), head_key)


class TokenModel(TaskModel):
    """Numbers of each token, from its last hidden state; there is no pooler."""

    has_pooler = False

    def __call__(
        self, input_ids: jax.Array, attention_mask: jax.Array, segment_ids: jax.Array, dropout_key: Key = None
    ) -> jax.Array:
        """-> [batch, length, outputs]."""
        encoder_key, head_key = split_key(dropout_key, 2)
        states = self.encoder(input_ids, attention_mask, segment_ids, encoder_key)[-1]
        return self.logits(states, head_key)


class SpanModel(TokenModel):
    """Two numbers of each token, that an answer starts and ends there; without dropout (run_squad.py:549-590)."""

    def logits(self, hidden: jax.Array, key: Key) -> jax.Array:
        """The dense layer alone."""
        return super().logits(hidden, None)


class ChoiceModel(SequenceModel):
    """A number of each of a row's texts (arXiv 1810.04805, section 4.4)."""

    def __call__(
        self, input_ids: jax.Array, attention_mask: jax.Array, segment_ids: jax.Array, dropout_key: Key = None
    ) -> jax.Array:
        """-> [batch, texts]."""
        ids, mask, segments = (array.reshape(-1, array.shape[-1]) for array in (input_ids, attention_mask, segment_ids))
        logits = super().__call__(ids, mask, segments, of_texts(dropout_key, input_ids.shape[1]))
        return logits.reshape(input_ids.shape[:2])

    def _logits_of(self, last: jax.Array, pooled: jax.Array | None, key: Key) -> jax.Array | None:
        logits = super()._logits_of(last, pooled, key)
        return None if logits is None else logits[:, 0]


class EmbeddingModel(TaskModel):
    """A vector of a text's last hidden states, their mean (arXiv 1908.10084); there is no pooler, and no head."""

    has_pooler = False
    pooling = "mean"  # of POOLINGS

    def __call__(
        self, input_ids: jax.Array, attention_mask: jax.Array, segment_ids: jax.Array, dropout_key: Key = None
    ) -> jax.Array:
        """-> [batch, texts, embed]."""
        ids, mask, segments = (array.reshape(-1, array.shape[-1]) for array in (input_ids, attention_mask, segment_ids))
        keys, read = of_texts(dropout_key, input_ids.shape[1]), self._positions_read(ids)
        states = self.encoder(ids, mask, segments, keys, query_positions=read)[-1]
        return POOLINGS[self.pooling](states, mask).reshape(*input_ids.shape[:2], -1)

    def _positions_read(self, input_ids: jax.Array) -> jax.Array | None:
        """Of which tokens [rows, positions] the last layer makes hidden states; None: of all."""
        del input_ids
        return None

    def _logits_of(self, last: jax.Array, pooled: jax.Array | None, key: Key) -> jax.Array | None:
        return None


class ClsEmbeddingModel(EmbeddingModel):
    """[CLS]' last hidden state."""

    pooling = "cls"

    def _positions_read(self, input_ids: jax.Array) -> jax.Array | None:
        return jnp.zeros((input_ids.shape[0], 1), jnp.int32)


class MaxEmbeddingModel(EmbeddingModel):
    """The largest of a text's last hidden states, number by number."""

    pooling = "max"


def mean_of_tokens(states: jax.Array, attention_mask: jax.Array) -> jax.Array:
    """Hidden states [batch, length, embed] and their mask [batch, length] -> the means of the tokens, float32."""
    weights = attention_mask.astype(jnp.float32)
    sums = jnp.einsum("btd,bt->bd", states.astype(jnp.float32), weights)
    return sums / jnp.maximum(weights.sum(axis=1), 1e-9)[:, None]


def first_token(states: jax.Array, attention_mask: jax.Array) -> jax.Array:
    """Hidden states [batch, length, embed] -> those of the first token, float32 [batch, embed]."""
    del attention_mask
    return states[:, 0].astype(jnp.float32)


def max_of_tokens(states: jax.Array, attention_mask: jax.Array) -> jax.Array:
    """Hidden states [batch, length, embed] and their mask -> the tokens' largest; 0 where there is none, float32."""
    is_token = attention_mask[:, :, None] > 0
    most = jnp.where(is_token, states.astype(jnp.float32), -jnp.inf).max(axis=1)
    return jnp.where(is_token.any(axis=1), most, 0.0)


POOLINGS = {"mean": mean_of_tokens, "cls": first_token, "max": max_of_tokens}  # of a text's hidden states


def of_texts(key: Key, texts: int) -> Key:
    """Keys of each row's texts, of one key a row; one key for all, and None, as they are."""
    if key is None or key.ndim == 0:
        return key
    return jax.vmap(lambda one: jax.random.split(one, texts))(key).reshape(-1)


HEADS: dict[str, type[TaskModel]] = {
    "sequence": SequenceModel,
    "token": TokenModel,
    "span": SpanModel,
    "choice": ChoiceModel,
    "embedding": EmbeddingModel,
    "embedding_cls": ClsEmbeddingModel,
    "embedding_max": MaxEmbeddingModel,
}


def task_model(
    head: str,
    outputs: int,
    config: ModelConfig,
    dtype: str = "float32",
    remat: str = "none",
    by_sequence: bool = False,
) -> Model:
    """The model with this head as pure functions; dtype, remat and by_sequence as in pretraining.py."""
    build = functools.partial(_build, head, outputs, config, dtype, remat, by_sequence)
    group = functools.partial(parameter_group, num_layers=config.distinct_layers)
    return functional(build, jnp.dtype(dtype), group)


def _build(
    head: str, outputs: int, config: ModelConfig, dtype: str, remat: str, by_sequence: bool, rngs: nnx.Rngs
) -> nnx.Module:
    return HEADS[head](config, outputs, jnp.dtype(dtype), rngs, remat, by_sequence)
