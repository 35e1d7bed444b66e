"""Every id of a batch has a row in the model's tables, seen on the host: of one without, a device makes NaN."""

from collections.abc import Mapping

import numpy as np

from bert_jax.data.source import RecordSource
from bert_jax.errors import UserError


def check_ids(batch: Mapping[str, np.ndarray], source: RecordSource, type_vocab_size: int) -> None:
    """Compare the ids of a batch on the host (int32 [rows, ...], see data/schema.py) with the sizes of the tables.

    The model has as many words as the vocabulary of `source`, where the batch is from.

    Raises:
      UserError: an id is too large or negative.
    """
    length, vocab_size = batch["input_ids"].shape[-1], source.manifest.vocab_size
    words = f"the vocabulary has {vocab_size} words; build the records with their own vocabulary"
    segments = (
        f"--config.model.type_vocab_size={type_vocab_size} has no row for it; give as many as there are segments "
        "(and as --config.init_from, if you use it, was trained with)"
    )
    for name, rows, remedy in (
        ("input_ids", vocab_size, words),
        ("masked_lm_ids", vocab_size, words),
        ("segment_ids", type_vocab_size, segments),
        ("masked_lm_positions", length, f"its sequences have {length} tokens; build the records again"),
        ("next_sentence_labels", 2, "a label is 0 or 1; build the records again"),
    ):
        if batch[name].view(np.uint32).max() >= rows:  # so a negative one is too large
            wrong = batch[name][batch[name].view(np.uint32) >= rows][0]
            raise UserError(f"{source.directory} has records with {wrong} among their {name}, and {remedy}")
