"""BERT with its pretraining heads (google-research/bert run_pretraining.py:240-305)."""

import functools
from collections.abc import Collection
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from bert_jax import scopes
from bert_jax.config import ModelConfig
from bert_jax.model.encoder import Encoder, parameter_group
from bert_jax.model.functional import Model, functional
from bert_jax.model.heads import MaskedLmHead
from bert_jax.model.layers import at_positions, linear
from bert_jax.model.outputs import Outputs

POOLER, MASKED_LM, NEXT_SENTENCE = "pooler", "masked_lm", "next_sentence"
PARTS = (POOLER, MASKED_LM, NEXT_SENTENCE)  # what others' weights may lack beside the encoder
MASKED_POSITIONS = "masked_lm_positions"  # an argument of this model alone


class PretrainingLogits(NamedTuple):
    """Unnormalised log-probabilities, float32."""

    masked_lm: jax.Array  # [batch, predictions, vocab]
    # [batch, 2], or packed [batch, n, 2]; 0: B follows A, 1: B is from another document; None without this head
    pair_logits: jax.Array | None


class PretrainingModel(nnx.Module):
    """From a batch's ids to logits. Labels and loss are not its business."""

    def __init__(
        self,
        config: ModelConfig,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
        remat: str = "none",
        by_sequence: bool = False,
        parts: Collection[str] = PARTS,
    ) -> None:
        """parts: which of PARTS it has; of a model that does not read pairs, MASKED_LM at most."""
        self.has_pooler = config.next_sentence and POOLER in parts
        self.encoder = Encoder(config, dtype, remat, rngs, by_sequence, self.has_pooler)
        self.has_masked_lm = MASKED_LM in parts
        if self.has_masked_lm:
            self.masked_lm = MaskedLmHead(config, dtype, rngs)
        self.reads_pairs = self.has_pooler and NEXT_SENTENCE in parts
        if self.reads_pairs:
            self.next_sentence = linear(config, (config.hidden_size, 2), ("embed", "label"), dtype, rngs)

    def __call__(
        self,
        input_ids: jax.Array,
        attention_mask: jax.Array,
        segment_ids: jax.Array,
        masked_lm_positions: jax.Array,
        dropout_key: jax.Array | None = None,
        position_ids: jax.Array | None = None,
        cls_positions: jax.Array | None = None,
    ) -> PretrainingLogits:
        """int32 [batch, length] three times and [batch, predictions]. No dropout without a key.

        Rows of several sequences (data/packing.py) have position_ids [batch, length] and cls_positions [batch, n], the
        first token of each; else it is at 0.
        """
        # The loss reads the masked tokens and the first token, so the last layer makes no others.
        queries = masked_lm_positions
        if self.reads_pairs:
            first = jnp.zeros((len(input_ids), 1), jnp.int32) if cls_positions is None else cls_positions
            queries = jnp.concatenate([queries, first], axis=1)
        states = self.encoder(input_ids, attention_mask, segment_ids, dropout_key, position_ids, queries)[-1]
        masked, first = jnp.split(states, [masked_lm_positions.shape[1]], axis=1)
        pair_logits = self.pair_logits(first[:, 0] if cls_positions is None else first) if self.reads_pairs else None
        return PretrainingLogits(self.masked_lm(masked, self.encoder.embeddings.word.embedding[...]), pair_logits)

    def outputs(
        self,
        input_ids: jax.Array,
        attention_mask: jax.Array,
        segment_ids: jax.Array,
        dropout_key: jax.Array | None = None,
        masked_lm_positions: jax.Array | None = None,
    ) -> Outputs:
        """All that there is, of all tokens, or the logits of those at masked_lm_positions alone."""
        states = self.encoder(input_ids, attention_mask, segment_ids, dropout_key)
        first, guessed = states[-1][:, 0], states[-1]
        if masked_lm_positions is not None:
            guessed = at_positions(guessed, masked_lm_positions)
        table = self.encoder.embeddings.word.embedding[...]
        return Outputs(
            hidden_states=tuple(states),
            pooled=self.encoder.pool(first) if self.has_pooler else None,
            logits=self.masked_lm(guessed, table) if self.has_masked_lm else None,
            pair_logits=self.pair_logits(first) if self.reads_pairs else None,
        )

    def pair_logits(self, first: jax.Array) -> jax.Array:
        """The logits of pairs, from the last hidden state of their first tokens [..., embed]: [..., 2]."""
        pooled = self.encoder.pool(first)
        with jax.named_scope(scopes.NEXT_SENTENCE):
            return self.next_sentence(pooled).astype(jnp.float32)


def pretraining_model(
    config: ModelConfig,
    dtype: str = "float32",
    remat: str = "none",
    by_sequence: bool = False,
    kind: type[PretrainingModel] = PretrainingModel,
    parts: Collection[str] = PARTS,
) -> Model:
    """The model as pure functions. `by_sequence` changes the shape of the layers' activations only (encoder.py).

    kind: the class, where more is read of it than its logits (distillation.py); parts: which of PARTS there are.
    """

    def build(rngs: nnx.Rngs) -> PretrainingModel:
        return kind(config, jnp.dtype(dtype), rngs, remat, by_sequence, parts)

    group = functools.partial(parameter_group, num_layers=config.distinct_layers)
    return functional(build, jnp.dtype(dtype), group)


def parts_of(paths: Collection[str]) -> tuple[str, ...]:
    """Which of PARTS parameters with these paths are of."""
    of_part = {POOLER: "encoder/pooler/", MASKED_LM: "masked_lm/", NEXT_SENTENCE: "next_sentence/"}
    return tuple(part for part in PARTS if any(path.startswith(of_part[part]) for path in paths))
