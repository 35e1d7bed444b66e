"""The families that Hugging Face's files are read and written of, and which of them a model of ours is written as."""

from typing import Any

from absl import logging

from bert_jax.config import ModelConfig
from bert_jax.errors import UserError
from bert_jax.interchange.albert_names import ALBERT
from bert_jax.interchange.bert_names import BERT
from bert_jax.interchange.distilbert_names import DISTILBERT
from bert_jax.interchange.family import Family
from bert_jax.interchange.renames import has_module
from bert_jax.interchange.roberta_names import ROBERTA
from bert_jax.interchange.roformer_names import ROFORMER

FAMILIES = {family.model_type: family for family in (BERT, ROBERTA, ALBERT, DISTILBERT, ROFORMER)}
PRETRAINING, ENCODER = "pretraining", "embedding"  # beside the heads of tasks (model/tasks.py)


def family_of(config: ModelConfig, head: str = PRETRAINING) -> Family:
    """As which family a model with this head is written unless the user says another: the one that loses nothing.

    Without token types and pairs it may be RoBERTa or DistilBERT: the latter's LayerNorm has the epsilon of BERT.
    """
    if config.position_embedding == "rotary":
        return ROFORMER
    if BERT.lacks(config):
        return ALBERT
    if config.type_vocab_size or (config.next_sentence and head == PRETRAINING):
        return BERT
    if DISTILBERT.lacks(config):
        return ROBERTA
    return DISTILBERT if _has_head(DISTILBERT, head) else BERT


def chosen_family(config: ModelConfig, asked: str | None, head: str = PRETRAINING) -> Family:
    """The family that the user `asked` for, or else `family_of`; what is lost by it is logged.

    Raises:
      UserError: it has no place for something without which the model computes something else.
    """
    check_layers(config)
    own = family_of(config, head)
    family = FAMILIES[asked] if asked else own
    if lacking := [f"{name}={getattr(config, name)}" for name in family.lacks(config)]:
        raise UserError(
            f"--family={asked}: {family.names.family} has no place for {', '.join(lacking)}; "
            f"give --family={own.model_type} or leave it out"
        )
    if not _has_head(own, head):
        raise UserError(
            f"{own.names.family}'s head of a text computes otherwise than ours; give --format=onnx or stablehlo, or a "
            "model with position_embedding=learned"
        )
    if not _has_head(family, head):
        raise UserError(
            f"--family={asked}: {family.names.family}'s head of a text computes otherwise than ours; "
            f"give --family={own.model_type} or leave it out"
        )
    if lost := what_is_lost(config, family, head):
        logging.warning("%s has no place for %s: left out", family.names.family, " and ".join(lost))
    return family


def check_layers(config: ModelConfig) -> None:
    """Raise UserError if the model's layers compute something else than those of every family do."""
    if unlike := without_place(config):
        raise UserError(
            f"Hugging Face's BERT and its family have no place for {unlike}; give --format=numpy or stablehlo, "
            "or onnx without --family"
        )


def without_place(config: ModelConfig) -> str:
    """The settings of its layers, with their values, that no family has; "" where one has them all."""
    unlike: dict[str, Any] = {"left_to_right": True} if config.left_to_right else {}
    unlike |= config.unlike_bert
    if config.position_embedding == "rotary":
        of_others = ROFORMER.lacks(config)
        unlike |= {name: getattr(config, name) for name in of_others}
        if unlike.keys() == {"position_embedding"}:
            return ""
    return ", ".join(f"{name}={value}" for name, value in unlike.items())


def _has_head(family: Family, head: str) -> bool:
    return head in (PRETRAINING, ENCODER) or head in family.heads


def what_is_lost(config: ModelConfig, family: Family, head: str) -> list[str]:
    """What a model has that files of the family do not, as messages call it; the rest computes as before."""
    lost = []
    if config.type_vocab_size and not has_module(family.names, "encoder/embeddings/token_type"):
        lost.append("token types (all tokens are taken to be of the first)")
    if config.next_sentence and head == PRETRAINING and not family.pair_class:
        lost.append("the pooler and the next-sentence head")
    return lost


def family_of_type(model_type: Any, source: str) -> Family:
    """Of what a config.json says; UserError, with `source`, if it is another than can be read."""
    if isinstance(model_type, str) and model_type in FAMILIES:
        return FAMILIES[model_type]
    raise UserError(f"{source} says model_type={model_type!r:.80}; only {', '.join(FAMILIES)} can be read")
