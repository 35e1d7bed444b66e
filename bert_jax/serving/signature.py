"""What a served model takes and gives, by the names that optimum's ONNX exports have."""

from collections.abc import Mapping
from typing import NamedTuple

from bert_jax.errors import UserError
from bert_jax.interchange.families import ENCODER
from bert_jax.model.pretraining import MASKED_LM

BATCH, LENGTH, CHOICES = "batch_size", "sequence_length", "num_choices"

Axes = tuple[str | int, ...]  # a name where any size will do


class Signature(NamedTuple):
    """Names and shapes; inputs are whole numbers, outputs float32."""

    inputs: Mapping[str, Axes]
    outputs: Mapping[str, Axes]


def signature(head: str, width: int, outputs: int, has_types: bool) -> Signature:
    """Of a model with this head, whose hidden states have `width` numbers, and `outputs` its logits.

    has_types: it is given token_type_ids.

    Raises:
      UserError: no other runtime knows such a head.
    """
    found: dict[str, dict[str, Axes]] = {
        ENCODER: {"last_hidden_state": (BATCH, LENGTH, width), "sentence_embedding": (BATCH, width)},
        MASKED_LM: {"logits": (BATCH, LENGTH, outputs)},
        "sequence": {"logits": (BATCH, outputs)},
        "token": {"logits": (BATCH, LENGTH, outputs)},
        "span": {"start_logits": (BATCH, LENGTH), "end_logits": (BATCH, LENGTH)},
        "choice": {"logits": (BATCH, CHOICES)},
    }
    if head not in found:
        raise UserError(f"a model with the head {head} has no names in other runtimes; --drop_heads leaves it out")
    axes: Axes = (BATCH, CHOICES, LENGTH) if head == "choice" else (BATCH, LENGTH)
    names = ["input_ids", *(["token_type_ids"] if has_types else []), "attention_mask"]  # as tokenizers give them
    return Signature(dict.fromkeys(names, axes), found[head])
