"""RoFormer's names in Hugging Face: BERT with rotary positions and without pairs (arXiv 2104.09864)."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from bert_jax.config import ModelConfig
from bert_jax.interchange.bert_names import BERT, ENCODER, MASKED_LM, OLDER
from bert_jax.interchange.conversions import Weights, of_queries_and_keys
from bert_jax.interchange.family import OPTIONAL, Family, classifiers, huggingface
from bert_jax.interchange.renames import Names
from bert_jax.interchange.settings import ForeignSettings
from bert_jax.model.rotary import speeds

_NOT_THERE = ("encoder/embeddings/position", "encoder/pooler")
_POSITIONS = "encoder.embed_positions.weight"
MODULES = [
    *(
        (ours, theirs.replace("bert.", "roformer.", 1), kind)
        for ours, theirs, kind in ENCODER
        if ours not in _NOT_THERE
    ),
    *MASKED_LM,
]
NAMES = Names(
    family="RoFormer",
    modules=huggingface(MODULES),
    separator=".",
    encoder="roformer.",
    layer="roformer.encoder.layer.{}.",
    optional=OPTIONAL,
    older=OLDER,
    top_modules=("embeddings.", "encoder."),
    buffers=(f"roformer.{_POSITIONS}",),
    tied={
        "cls.predictions.decoder.weight": "roformer.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
)


@dataclasses.dataclass(frozen=True)
class RoFormerSettings(ForeignSettings):
    """The content of its config.json."""

    ALWAYS: ClassVar[dict[str, Any]] = {
        "position_embedding": "rotary",
        "next_sentence": False,
        "initializer": "normal",
    }


def _in_neighbours(heads: np.ndarray) -> np.ndarray:
    """[..., heads, head_dim]: what is rotated together lies side by side, and not half a head apart as here."""
    halves = heads.reshape(*heads.shape[:-1], 2, -1)
    return np.swapaxes(halves, -1, -2).reshape(heads.shape)


def _in_halves(heads: np.ndarray) -> np.ndarray:
    """The way back."""
    pairs = heads.reshape(*heads.shape[:-1], -1, 2)
    return np.swapaxes(pairs, -1, -2).reshape(heads.shape)


def _of_each_head(order: Callable[[np.ndarray], np.ndarray], heads: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda array: order(array.reshape(*array.shape[:-1], heads, -1)).reshape(array.shape)


def _to_file(weights: Weights, pad_id: int) -> Weights:
    weights = of_queries_and_keys(weights, _of_each_head(_in_neighbours, weights.config.num_attention_heads))
    return BERT.to_file(weights, pad_id)


def _from_file(weights: Weights, pad_id: int) -> Weights:
    del pad_id
    return of_queries_and_keys(weights, _of_each_head(_in_halves, weights.config.num_attention_heads))


def _sinusoids(config: ModelConfig) -> dict[str, np.ndarray]:
    """Sines, then cosines, of the angles that tokens are rotated by."""
    by_pair = speeds(config.hidden_size // config.num_attention_heads)
    angles = np.outer(np.arange(config.max_position_embeddings), by_pair)
    return {_POSITIONS: np.concatenate([np.sin(angles), np.cos(angles)], axis=1)}


def _lacks(config: ModelConfig) -> list[str]:
    """What BERT lacks but rotary positions; its files may have narrow tables, but nobody has published such a model."""
    learned = ["position_embedding"] if config.position_embedding == "learned" else []
    return [*(name for name in BERT.lacks(config) if name != "position_embedding"), *learned]


# A text's head has the activation of the layers there, and ours has tanh; several texts' is another, too.
HEADS = {head: modules for head, modules in classifiers().items() if head in ("token", "span")}

ROFORMER = Family(
    model_type="roformer",
    classes="RoFormer",
    names=NAMES,
    heads=HEADS,
    settings=RoFormerSettings,
    of_a_task=BERT.of_a_task,
    fixed={"rotary_value": False, "is_decoder": False, "tie_word_embeddings": True},
    to_file=_to_file,
    from_file=_from_file,
    constants=_sinusoids,
    lacks=_lacks,
    paper="arXiv 2104.09864",
)
