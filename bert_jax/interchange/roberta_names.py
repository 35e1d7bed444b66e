"""RoBERTa's names in Hugging Face: RobertaForMaskedLM and its relatives."""

import dataclasses
from typing import Annotated, Any, ClassVar

import msgspec

from bert_jax.interchange.bert_names import BERT, ENCODER, FIXED, OLDER
from bert_jax.interchange.conversions import (
    Weights,
    add_first_positions,
    add_type_to_positions,
    add_types,
    drop_first_positions,
)
from bert_jax.interchange.family import DENSE, NORM, OPTIONAL, OUTPUT_BIAS, Family, classifiers, huggingface
from bert_jax.interchange.renames import Names
from bert_jax.interchange.settings import ForeignSettings

MODULES = [
    *((ours, theirs.replace("bert.", "roberta.", 1), kind) for ours, theirs, kind in ENCODER),
    ("masked_lm/transform", "lm_head.dense", DENSE),
    ("masked_lm/norm", "lm_head.layer_norm", NORM),
    ("masked_lm", "lm_head", OUTPUT_BIAS),
]
# The pooler of a text's head has another name than that of several texts'.
SEQUENCE_HEAD = [("encoder/pooler", "classifier.dense", DENSE), ("classifier", "classifier.out_proj", DENSE)]
NAMES = Names(
    family="RoBERTa",
    modules=huggingface(MODULES),
    separator=".",
    encoder="roberta.",
    layer="roberta.encoder.layer.{}.",
    optional=OPTIONAL,
    older=OLDER,
    top_modules=("embeddings.", "encoder.", "pooler."),
    buffers=("roberta.embeddings.position_ids", "roberta.embeddings.token_type_ids"),
    tied={
        "lm_head.decoder.weight": "roberta.embeddings.word_embeddings.weight",
        "lm_head.decoder.bias": "lm_head.bias",
    },
)


@dataclasses.dataclass(frozen=True)
class RobertaSettings(ForeignSettings):
    """The content of its config.json."""

    pad_token_id: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 1

    ALWAYS: ClassVar[dict[str, Any]] = {"next_sentence": False, "initializer": "normal"}


def _dead_positions(pad_id: int) -> int:
    """Rows of the position table that no token reads: fairseq counts on from padding's id, and padding is at it."""
    return pad_id + 1


def _to_file(weights: Weights, pad_id: int) -> Weights:
    """One token type, that of all tokens, is written as zeros."""
    weights = add_first_positions(weights, _dead_positions(pad_id))
    return weights if weights.config.type_vocab_size else add_types(weights, 1)


def _from_file(weights: Weights, pad_id: int) -> Weights:
    weights = drop_first_positions(weights, _dead_positions(pad_id))
    return add_type_to_positions(weights) if weights.config.type_vocab_size == 1 else weights


ROBERTA = Family(
    model_type="roberta",
    classes="Roberta",
    names=NAMES,
    heads=classifiers() | {"sequence": huggingface(SEQUENCE_HEAD)},
    settings=RobertaSettings,
    of_a_task=BERT.of_a_task,
    fixed=FIXED,
    to_file=_to_file,
    from_file=_from_file,
    lacks=BERT.lacks,
    paper="arXiv 1907.11692",
    says_ends=True,
)
