"""ALBERT's names: Hugging Face's AlbertForPreTraining and its relatives, and the original's TensorFlow variables."""

import dataclasses

from bert_jax.interchange.bert_names import MASKED_LM, NEXT_SENTENCE
from bert_jax.interchange.conversions import Weights, add_projection, add_types, drop_projection
from bert_jax.interchange.family import (
    DENSE,
    NORM,
    OPTIONAL,
    OUTPUT_BIAS,
    PAIR,
    TABLE,
    Family,
    classifiers,
    huggingface,
    original,
)
from bert_jax.interchange.renames import Names
from bert_jax.interchange.settings import ForeignSettings, Rate, Size

# A group's layers are several inner ones there (inner_group_num), of which there is 1 in all that were published.
_LAYER = "albert.encoder.albert_layer_groups.{}.albert_layers.0."
MODULES = [
    ("encoder/embeddings/word", "albert.embeddings.word_embeddings", TABLE),
    ("encoder/embeddings/position", "albert.embeddings.position_embeddings", TABLE),
    ("encoder/embeddings/token_type", "albert.embeddings.token_type_embeddings", TABLE),
    ("encoder/embeddings/norm", "albert.embeddings.LayerNorm", NORM),
    ("encoder/embeddings/projection", "albert.encoder.embedding_hidden_mapping_in", DENSE),
    ("encoder/layer_{}/attention/query", _LAYER + "attention.query", DENSE),
    ("encoder/layer_{}/attention/key", _LAYER + "attention.key", DENSE),
    ("encoder/layer_{}/attention/value", _LAYER + "attention.value", DENSE),
    ("encoder/layer_{}/attention/output", _LAYER + "attention.dense", DENSE),
    ("encoder/layer_{}/attention_norm", _LAYER + "attention.LayerNorm", NORM),
    ("encoder/layer_{}/intermediate", _LAYER + "ffn", DENSE),
    ("encoder/layer_{}/output", _LAYER + "ffn_output", DENSE),
    ("encoder/layer_{}/output_norm", _LAYER + "full_layer_layer_norm", NORM),
    ("encoder/pooler", "albert.pooler", DENSE),
    ("masked_lm/transform", "predictions.dense", DENSE),
    ("masked_lm/norm", "predictions.LayerNorm", NORM),
    ("masked_lm", "predictions", OUTPUT_BIAS),
    ("next_sentence", "sop_classifier.classifier", PAIR),
]
NAMES = Names(
    family="ALBERT",
    modules=huggingface(MODULES),
    separator=".",
    encoder="albert.",
    layer="albert.encoder.albert_layer_groups.{}.",
    optional=OPTIONAL,
    top_modules=("embeddings.", "encoder.", "pooler."),
    buffers=("albert.embeddings.position_ids", "albert.embeddings.token_type_ids"),
    tied={
        "predictions.decoder.weight": "albert.embeddings.word_embeddings.weight",
        "predictions.decoder.bias": "predictions.bias",
    },
)


@dataclasses.dataclass(frozen=True)
class AlbertSettings(ForeignSettings):
    """The content of its config.json; what is left out is as in ALBERT-xxlarge, there and here."""

    hidden_size: Size = 4096
    num_attention_heads: Size = 64
    intermediate_size: Size = 16384
    hidden_act: str = "gelu_new"
    hidden_dropout_prob: Rate = 0.0
    attention_probs_dropout_prob: Rate = 0.0
    embedding_size: Size = 128
    num_hidden_groups: Size = 1


def _to_file(weights: Weights, pad_id: int) -> Weights:
    """There are always token types, a dense layer behind the embeddings, and groups, if each of one layer."""
    del pad_id
    weights = weights if weights.config.type_vocab_size else add_types(weights, 2)
    weights = weights if weights.config.embedding_size else add_projection(weights)
    groups = weights.config.distinct_layers
    return weights._replace(config=dataclasses.replace(weights.config, num_hidden_groups=groups))


def _from_file(weights: Weights, pad_id: int) -> Weights:
    del pad_id
    return drop_projection(weights)


ALBERT = Family(
    model_type="albert",
    classes="Albert",
    names=NAMES,
    heads=classifiers(),
    settings=AlbertSettings,
    of_a_task=lambda config: {"classifier_dropout_prob": config.hidden_dropout_prob},
    fixed={"position_embedding_type": "absolute", "inner_group_num": 1, "tie_word_embeddings": True},
    to_file=_to_file,
    from_file=_from_file,
    pair_class="AlbertForPreTraining",
    lacks=lambda config: ["position_embedding"] if config.position_embedding != "learned" else [],
    paper="arXiv 1909.11942",
    says_ends=True,
)

# The original's variables (google-research/albert modeling.py). Where tables are as wide as layers, there is no dense
# layer between them.
_GROUP = "bert/encoder/transformer/group_{}/inner_group_0/"
_SCOPES = [
    ("encoder/embeddings/word", "bert/embeddings/word_embeddings", TABLE),
    ("encoder/embeddings/position", "bert/embeddings/position_embeddings", TABLE),
    ("encoder/embeddings/token_type", "bert/embeddings/token_type_embeddings", TABLE),
    ("encoder/embeddings/norm", "bert/embeddings/LayerNorm", NORM),
    ("encoder/embeddings/projection", "bert/encoder/embedding_hidden_mapping_in", DENSE),
    ("encoder/layer_{}/attention/query", _GROUP + "attention_1/self/query", DENSE),
    ("encoder/layer_{}/attention/key", _GROUP + "attention_1/self/key", DENSE),
    ("encoder/layer_{}/attention/value", _GROUP + "attention_1/self/value", DENSE),
    ("encoder/layer_{}/attention/output", _GROUP + "attention_1/output/dense", DENSE),
    ("encoder/layer_{}/attention_norm", _GROUP + "LayerNorm", NORM),
    ("encoder/layer_{}/intermediate", _GROUP + "ffn_1/intermediate/dense", DENSE),
    ("encoder/layer_{}/output", _GROUP + "ffn_1/intermediate/output/dense", DENSE),
    ("encoder/layer_{}/output_norm", _GROUP + "LayerNorm_1", NORM),
    ("encoder/pooler", "bert/pooler/dense", DENSE),
    *((ours, theirs.replace(".", "/"), kind) for ours, theirs, kind in [*MASKED_LM, *NEXT_SENTENCE]),
]
TENSORFLOW = Names(
    family="ALBERT",
    modules=original(_SCOPES),
    separator="/",
    encoder="bert/",
    layer="bert/encoder/transformer/group_{}/",
    optional=OPTIONAL,
)
