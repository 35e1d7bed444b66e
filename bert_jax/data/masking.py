"""Which tokens a model has to guess, and what it sees in their places.

The same draws from the same generator as create_masked_lm_predictions of the original create_pretraining_data.py,
on ids instead of strings: equal seeds give equal masks.
"""

import random
from collections.abc import Sequence
from typing import NamedTuple


class Masked(NamedTuple):
    """A sequence with some of its tokens hidden."""

    tokens: list[int]
    positions: list[int]  # of the tokens to guess, ascending
    labels: list[int]  # what they were


class Masker:
    """Hides tokens: most become [MASK], some another token, some stay what they are."""

    def __init__(
        self,
        *,
        vocab_size: int,
        special_ids: tuple[int, int, int],
        masked_lm_prob: float,
        max_predictions_per_seq: int,
        continues_word: Sequence[bool] | None = None,
    ) -> None:
        """Make a masker.

        Args:
            vocab_size: replacements are drawn from all ids, special tokens included, as in the original.
            special_ids: [CLS], [SEP] and [MASK]. The first two are never hidden.
            masked_lm_prob: the share of a sequence's tokens, [CLS] and [SEP] counted, that are hidden.
            max_predictions_per_seq: never more than this.
            continues_word: per id, whether it continues the word before it; given for whole-word masking.
        """
        self._vocab_size = vocab_size
        self._cls_id, self._sep_id, self._mask_id = special_ids
        self._masked_lm_prob = masked_lm_prob
        self._max_predictions = max_predictions_per_seq
        self._continues_word = continues_word

    def mask(self, tokens: list[int], rng: random.Random) -> Masked:
        """Hide some of `tokens`, a whole [CLS] A [SEP] B [SEP]."""
        words = self._words(tokens)
        rng.shuffle(words)
        # round() to the even neighbour at .5, as the original does under Python 3
        limit = min(self._max_predictions, max(1, round(len(tokens) * self._masked_lm_prob)))
        seen = list(tokens)
        positions: list[int] = []
        for word in words:
            if len(positions) >= limit:
                break
            if len(positions) + len(word) > limit:
                continue  # a shorter word may still fit
            for position in word:
                seen[position] = self._replacement(tokens[position], rng)
                positions.append(position)
        positions.sort()
        return Masked(seen, positions, [tokens[position] for position in positions])

    def _words(self, tokens: list[int]) -> list[list[int]]:
        """Positions that are hidden together."""
        words: list[list[int]] = []
        for position, token in enumerate(tokens):
            if token in (self._cls_id, self._sep_id):
                continue
            # A word that truncation cut at its front continues the last one of the other segment: so the original.
            if self._continues_word and self._continues_word[token] and words:
                words[-1].append(position)
            else:
                words.append([position])
        return words

    def _replacement(self, token: int, rng: random.Random) -> int:
        if rng.random() < 0.8:
            return self._mask_id
        if rng.random() < 0.5:
            return token
        return rng.randint(0, self._vocab_size - 1)
