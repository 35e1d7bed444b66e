"""DistilBERT's names in Hugging Face: DistilBertForMaskedLM and its relatives."""

import dataclasses
from typing import Any, ClassVar

from bert_jax.config import ModelConfig
from bert_jax.interchange.bert_names import BERT, OLDER
from bert_jax.interchange.conversions import Weights, add_type_to_positions
from bert_jax.interchange.family import (
    DENSE,
    NORM,
    OPTIONAL,
    OUTPUT_BIAS,
    TABLE,
    Family,
    classifiers,
    huggingface,
    unchanged,
)
from bert_jax.interchange.renames import Names
from bert_jax.interchange.settings import Rate, Settings, Size, Small

_LAYER = "distilbert.transformer.layer.{}."
MODULES = [
    ("encoder/embeddings/word", "distilbert.embeddings.word_embeddings", TABLE),
    ("encoder/embeddings/position", "distilbert.embeddings.position_embeddings", TABLE),
    ("encoder/embeddings/norm", "distilbert.embeddings.LayerNorm", NORM),
    ("encoder/layer_{}/attention/query", _LAYER + "attention.q_lin", DENSE),
    ("encoder/layer_{}/attention/key", _LAYER + "attention.k_lin", DENSE),
    ("encoder/layer_{}/attention/value", _LAYER + "attention.v_lin", DENSE),
    ("encoder/layer_{}/attention/output", _LAYER + "attention.out_lin", DENSE),
    ("encoder/layer_{}/attention_norm", _LAYER + "sa_layer_norm", NORM),
    ("encoder/layer_{}/intermediate", _LAYER + "ffn.lin1", DENSE),
    ("encoder/layer_{}/output", _LAYER + "ffn.lin2", DENSE),
    ("encoder/layer_{}/output_norm", _LAYER + "output_layer_norm", NORM),
    ("masked_lm/transform", "vocab_transform", DENSE),
    ("masked_lm/norm", "vocab_layer_norm", NORM),
    ("masked_lm", "vocab_projector", OUTPUT_BIAS),
]
NAMES = Names(
    family="DistilBERT",
    modules=huggingface(MODULES),
    separator=".",
    encoder="distilbert.",
    layer=_LAYER,
    optional=OPTIONAL,
    older=OLDER,
    top_modules=("embeddings.", "transformer."),
    buffers=("distilbert.embeddings.position_ids",),
    tied={"vocab_projector.weight": "distilbert.embeddings.word_embeddings.weight"},
)


@dataclasses.dataclass(frozen=True)
class DistilBertSettings(Settings):
    """The content of its config.json."""

    vocab_size: Size
    dim: Size = ModelConfig.hidden_size
    n_layers: Size = 6
    n_heads: Size = ModelConfig.num_attention_heads
    hidden_dim: Size = ModelConfig.intermediate_size
    max_position_embeddings: Size = ModelConfig.max_position_embeddings
    activation: str = ModelConfig.hidden_act
    dropout: Rate = ModelConfig.hidden_dropout_prob
    attention_dropout: Rate = ModelConfig.attention_probs_dropout_prob
    initializer_range: Small = ModelConfig.initializer_range

    CALLED: ClassVar[dict[str, str]] = {
        "hidden_size": "dim",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
        "intermediate_size": "hidden_dim",
        "hidden_act": "activation",
        "hidden_dropout_prob": "dropout",
        "attention_probs_dropout_prob": "attention_dropout",
    }
    ALWAYS: ClassVar[dict[str, Any]] = {
        "type_vocab_size": 0,
        "next_sentence": False,
        "layer_norm_eps": 1e-12,
        "initializer": "normal",
    }


def _to_file(weights: Weights, pad_id: int) -> Weights:
    del pad_id
    return add_type_to_positions(weights) if weights.config.type_vocab_size else weights


def _lacks(config: ModelConfig) -> list[str]:
    return [*BERT.lacks(config), *(["layer_norm_eps"] if config.layer_norm_eps != 1e-12 else [])]


# A text's head is a dense layer with ReLU there (pre_classifier), and ours is with tanh: such models are written as
# others (families.py).
HEADS = {head: modules for head, modules in classifiers().items() if head in ("token", "span")}

DISTILBERT = Family(
    model_type="distilbert",
    classes="DistilBert",
    names=NAMES,
    heads=HEADS,
    settings=DistilBertSettings,
    of_a_task=lambda config: {"qa_dropout": 0.0, "seq_classif_dropout": config.hidden_dropout_prob},
    fixed={"tie_word_embeddings": True},
    to_file=_to_file,
    from_file=unchanged,
    lacks=_lacks,
    paper="arXiv 1910.01108",
)
