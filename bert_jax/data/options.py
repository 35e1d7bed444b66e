"""The options that decide what records hold. Where the original program has a flag, its name is kept."""

import dataclasses
from typing import Literal, get_args

from bert_jax.config.data import Pairs
from bert_jax.errors import UserError

PAIRS: tuple[Pairs, ...] = get_args(Pairs)
PAIRS_HELP = (
    "nsp: half of the pairs are of two documents (BERT); sop: half are exchanged, the second part first (ALBERT); "
    "aligned: lines are a text, a tab and ids, and half of the texts get the ids of another document (VideoBERT); "
    "none: no pairs, text of one document in one segment."
)

# What a record is made of where there are no pairs. "": see Pairs; "full": whole sentences, over the ends of documents;
# "doc": of one document; "cut": any stretch of the text.
Blocks = Literal["", "full", "doc", "cut"]
BLOCKS: tuple[Blocks, ...] = get_args(Blocks)
BLOCKS_HELP = (
    "With --pairs=none, records of RoBERTa's blocks, as full as they can be: full: of whole sentences, also of several "
    "documents; doc: of one document; cut: cut anywhere."
)

MOST_HELD_OUT = 0.9  # of the documents
_ENOUGH = 0.9  # of the predictions that masked_lm_prob asks for


@dataclasses.dataclass(frozen=True)
class RecordOptions:
    """Options of build_records; two runs with equal ones, on equal text and vocabulary, write equal bytes."""

    max_seq_length: int = 128
    max_predictions_per_seq: int = 20
    dupe_factor: int = 10
    masked_lm_prob: float = 0.15
    short_seq_prob: float = 0.1
    whole_word_mask: bool = False
    pairs: Pairs = "nsp"
    ngram: int = 0  # words that are masked together at most, drawn as ALBERT does; 0: one by one, as BERT does
    blocks: Blocks = ""
    cut_long_sentences: bool = False  # those that are longer than a block; else they are left out
    random_seed: int = 12345
    num_parts: int = 1
    holdout: float = 0.0  # fraction of the documents
    split_sentences: bool = False

    def check(self) -> None:
        """Raise UserError, naming the flag, if a value makes no sense."""
        # [CLS], [SEP], [SEP] and one token in each segment.
        _check_between("max_seq_length", self.max_seq_length, 5, 1_000_000)
        _check_between("max_predictions_per_seq", self.max_predictions_per_seq, 1, self.max_seq_length)
        _check_between("dupe_factor", self.dupe_factor, 1, 1_000_000)
        _check_between("masked_lm_prob", self.masked_lm_prob, 0.0, 1.0)
        _check_between("short_seq_prob", self.short_seq_prob, 0.0, 1.0)
        _check_between("ngram", self.ngram, 0, 100)
        if self.pairs not in PAIRS:
            raise UserError(f"--pairs={self.pairs} must be one of {', '.join(PAIRS)}")
        if self.pairs == "aligned" and self.split_sentences:
            raise UserError("--split_sentences would part texts from their ids (--pairs=aligned); leave it out")
        self._check_blocks()
        _check_between("random_seed", self.random_seed, -(2**63), 2**63 - 1)
        _check_between("num_parts", self.num_parts, 1, 99_999)
        _check_between("holdout", self.holdout, 0.0, MOST_HELD_OUT)

    def _check_blocks(self) -> None:
        if self.blocks not in BLOCKS:
            raise UserError(f"--blocks={self.blocks} must be one of {', '.join(filter(None, BLOCKS))}")
        if self.blocks and self.pairs != "none":
            raise UserError(f"--blocks={self.blocks} makes records without pairs; give --pairs=none too")
        if self.blocks and self.short_seq_prob != RecordOptions.short_seq_prob:
            raise UserError(f"--short_seq_prob={self.short_seq_prob} is not for --blocks, which are full; leave it out")
        if self.cut_long_sentences and self.blocks not in ("full", "doc"):
            raise UserError("--cut_long_sentences is for --blocks=full and doc; give one of them, or leave it out")

    @property
    def fewest_documents(self) -> int:
        """That a part must have: a next sentence that is not the next one comes from another document."""
        return 1 if self.pairs == "none" else 2

    def advice(self) -> str:
        """A warning if far fewer tokens are masked than was asked for, with the number to give; "" if not."""
        asked = round(self.max_seq_length * self.masked_lm_prob)
        if self.max_predictions_per_seq >= _ENOUGH * asked:
            return ""
        fraction = self.max_predictions_per_seq / self.max_seq_length
        return (
            f"--max_predictions_per_seq={self.max_predictions_per_seq} masks at most {fraction:.1%} of a sequence of "
            f"{self.max_seq_length} tokens, where --masked_lm_prob={self.masked_lm_prob} asks for "
            f"{self.masked_lm_prob:.1%}; give --max_predictions_per_seq={asked}"
        )


def _check_between(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise UserError(f"--{name}={value} must be between {least} and {most}")
