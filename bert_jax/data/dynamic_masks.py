"""Masks that are drawn when a record is read, anew in each epoch, and not when it is written.

The draws are a pure function of (seed, epoch, record), by DistilBERT's rule also of how often tokens occur in the
records: the same on any number of hosts, for any batch, packed or not, after any restart. What a record itself has for
masks is undone first. There are three rules:

  roberta     int(share * n + u) of the n tokens of a row, u uniform in [0, 1), drawn without replacement, [CLS] and
              [SEP] among them; random ids are any but padding's, [UNK]'s, [CLS]' and [SEP]'s (facebookresearch/fairseq
              fairseq/data/mask_tokens_dataset.py)
  bert        max(1, round(share * n)) of a row's tokens, never [CLS] or [SEP]; random ids are any (masking.py)
  distilbert  ceil(share * n), rare tokens more often: in proportion to count^-0.7, and never special ones; random ids
              are any (huggingface/transformers research_projects/distillation, distiller.py and train.py, where they
              are so many of a batch's tokens: that would be no function of a record)
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bert_jax.config import DataConfig
from bert_jax.data.mask_draws import MaskedRows, Rule, draw_bert, draw_distilbert, draw_roberta, number_of_masks, undo
from bert_jax.data.masking import masking_rules
from bert_jax.data.split_mix import LARGEST, keys
from bert_jax.text.tokenizer import Tokenizer

HELD_OUT_SEED = 0  # the same masks in all runs, so that their losses can be compared
RARITY = 0.7  # --mlm_smoothing of the authors' train.py

_Draw = Callable[..., None]  # of rows, their lengths and keys and, by DistilBERT's rule, the chances of tokens


class DynamicMasks:
    """Draws the masks of batches of records. Safe to use from several threads.

    Attributes:
        max_predictions: of a row, at most.
        needs_counts: whether `take_counts` has to be called before any are drawn.
    """

    def __init__(self, data: DataConfig, tokenizer: Tokenizer, max_seq_length: int, seed: int = HELD_OUT_SEED) -> None:
        """Masks by the rule of `data` for records of `max_seq_length` tokens; without `seed`, those of evaluations."""
        self._seed = np.uint64(seed)
        special = tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id
        self._never_masked = [*special, tokenizer.mask_id]
        self._chances: list[NDArray[np.float64]] = []  # one [vocab], as soon as it is known
        self._draw = _drawing(data, tokenizer, max_seq_length, special)
        self.needs_counts = data.masking == "distilbert"
        self._predictions = np.array([most_predictions(data, tokens) for tokens in range(max_seq_length + 1)], np.int32)
        self.max_predictions = int(self._predictions[-1])

    def take_counts(self, counts: NDArray[np.integer]) -> None:
        """How often each token occurs, [vocab]: rare ones are masked more often."""
        chances = np.maximum(counts, 1) ** -RARITY
        chances[self._never_masked] = 0.0
        self._chances = [chances]

    def sizes(self, sizes: NDArray[np.int32]) -> NDArray[np.int32]:
        """Tokens and most predictions of records, [records, 2], of which `sizes` are those with their own masks."""
        return np.stack([sizes[:, 0], self._predictions[sizes[:, 0]]], axis=1)

    def __call__(
        self, batch: Mapping[str, np.ndarray], records: NDArray[np.integer], epochs: NDArray[np.integer]
    ) -> dict[str, np.ndarray]:
        """The batch, whose rows are `records` in these `epochs`, with masks drawn for it."""
        positions = np.zeros((len(batch["input_ids"]), self.max_predictions), np.int32)
        labels, weights = np.zeros_like(positions), np.zeros(positions.shape, np.float32)
        rows = MaskedRows(without_masks(batch), positions, labels, weights)
        seeds = keys(self._seed, np.asarray(epochs, np.uint64), np.asarray(records, np.uint64))
        assert bool(self._chances) == self.needs_counts
        self._draw(rows, batch["input_mask"].sum(1), seeds, *self._chances)
        return dict(batch) | {
            "input_ids": rows.ids,
            "masked_lm_positions": rows.positions,
            "masked_lm_ids": rows.labels,
            "masked_lm_weights": rows.weights,
        }


def most_predictions(data: DataConfig, tokens: int) -> int:
    """The most predictions of a record of so many tokens, by the rule of `data`."""
    if data.masking == "roberta":
        return number_of_masks(tokens, data.masked_lm_prob, LARGEST)
    if data.masking == "distilbert":
        return int(np.ceil(data.masked_lm_prob * tokens))
    return max(1, round(tokens * data.masked_lm_prob))


def without_masks(batch: Mapping[str, np.ndarray]) -> NDArray[np.int32]:
    """The input_ids of a batch of records with what is masked put back."""
    ids = batch["input_ids"].copy()
    undo(ids, batch["masked_lm_positions"], batch["masked_lm_ids"], batch["masked_lm_weights"])
    return ids


def _drawing(data: DataConfig, tokenizer: Tokenizer, max_seq_length: int, special: Sequence[int]) -> _Draw:
    """What draws by the rule of `data`."""
    never_random = np.array(sorted(special) if data.masking == "roberta" else [], np.int64)
    shares = data.masked_lm_prob, data.random_share, data.kept_share
    rule = Rule(*shares, tokenizer.mask_id, tokenizer.vocab_size, never_random)
    if data.masking == "roberta":
        return lambda *of: draw_roberta(*of, rule)
    if data.masking == "distilbert":
        return lambda *of: draw_distilbert(*of, rule)
    rules = masking_rules(
        max_seq_length=max_seq_length,
        vocab_size=tokenizer.vocab_size,
        special_ids=(tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id),
        masked_lm_prob=data.masked_lm_prob,
        max_predictions_per_seq=max_seq_length,
        continues_word=tokenizer.continues_word if data.whole_word_mask else None,
        random_share=data.random_share,
        kept_share=data.kept_share,
    )
    return lambda *of: draw_bert(*of, rules)
