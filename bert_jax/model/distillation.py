"""BERT as student or teacher: the pretraining model, from which more is taken than its logits."""

from typing import NamedTuple

import jax

from bert_jax.config import ModelConfig
from bert_jax.model.functional import Model
from bert_jax.model.layers import at_positions
from bert_jax.model.pretraining import PretrainingLogits, PretrainingModel, pretraining_model


class WordLogits(NamedTuple):
    """The masked-LM logits of all tokens before their last product, which makes them a vocabulary wide."""

    features: jax.Array  # [batch, length, width]
    table: jax.Array  # [vocab, width]; more rows than there are words are of none (model/embeddings.py, tied_logits)
    bias: jax.Array  # float32 [vocab]


class DistillationOutputs(NamedTuple):
    """What the losses read of either model."""

    logits: PretrainingLogits  # of the masked tokens, and of pairs
    layers: list[jax.Array]  # each layer's output [batch, length, embed]
    words: WordLogits


class DistillationModel(PretrainingModel):
    """The pretraining model, with the same parameters."""

    def __call__(  # type: ignore[override]
        self,
        input_ids: jax.Array,
        attention_mask: jax.Array,
        segment_ids: jax.Array,
        masked_lm_positions: jax.Array,
        dropout_key: jax.Array | None = None,
        position_ids: jax.Array | None = None,
        cls_positions: jax.Array | None = None,
    ) -> DistillationOutputs:
        """See PretrainingModel; what of the outputs nobody reads is not computed in a compiled program."""
        _, *layers = self.encoder(input_ids, attention_mask, segment_ids, dropout_key, position_ids)
        table = self.encoder.embeddings.word.embedding[...]
        features = self.masked_lm.features(layers[-1])
        masked_lm = self.masked_lm.logits(at_positions(features, masked_lm_positions), table)
        first = layers[-1][:, 0] if cls_positions is None else at_positions(layers[-1], cls_positions)
        pair_logits = self.pair_logits(first) if self.reads_pairs else None
        words = WordLogits(features, table, self.masked_lm.output_bias[...])
        return DistillationOutputs(PretrainingLogits(masked_lm, pair_logits), layers, words)


def distillation_model(
    config: ModelConfig, dtype: str = "float32", remat: str = "none", by_sequence: bool = False
) -> Model:
    """The model as pure functions, as pretraining.py has it."""
    return pretraining_model(config, dtype, remat, by_sequence, DistillationModel)
