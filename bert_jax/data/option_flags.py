"""The flags of build_records that decide what records hold, an option each."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from absl import flags

from bert_jax.data.options import BLOCKS, BLOCKS_HELP, PAIRS, PAIRS_HELP, RecordOptions
from bert_jax.text.tokenizer import Tokenizer

_DEFAULTS = RecordOptions()


def define_options() -> list[flags.FlagHolder[Any]]:
    """The flags, called as the options."""
    defined: list[flags.FlagHolder[Any]] = [
        flags.DEFINE_integer("max_seq_length", _DEFAULTS.max_seq_length, "Tokens per sequence, at most."),
        flags.DEFINE_integer(
            "max_predictions_per_seq", _DEFAULTS.max_predictions_per_seq, "Masked tokens per sequence, at most."
        ),
        flags.DEFINE_integer(
            "dupe_factor", _DEFAULTS.dupe_factor, "Times to go through the text, each with other masks."
        ),
        flags.DEFINE_float("masked_lm_prob", _DEFAULTS.masked_lm_prob, "Fraction of the tokens to mask."),
        flags.DEFINE_float("short_seq_prob", _DEFAULTS.short_seq_prob, "Probability that a sequence is made shorter."),
        flags.DEFINE_bool("whole_word_mask", None, "Mask all tokens of a word together. Default: only with --ngram."),
        flags.DEFINE_enum("pairs", _DEFAULTS.pairs, PAIRS, PAIRS_HELP),
        flags.DEFINE_enum("blocks", _DEFAULTS.blocks, BLOCKS, BLOCKS_HELP),
        flags.DEFINE_bool("cut_long_sentences", False, "--blocks: cut sentences longer than a block; else drop them."),
        flags.DEFINE_integer(
            "ngram", _DEFAULTS.ngram, "Mask up to so many words in a row (ALBERT: 3); 0: single words."
        ),
        flags.DEFINE_integer("random_seed", _DEFAULTS.random_seed, "Seed of all random numbers."),
        flags.DEFINE_integer("num_parts", _DEFAULTS.num_parts, "Parts to cut the text into; each becomes a shard."),
        flags.DEFINE_float("holdout", _DEFAULTS.holdout, "Fraction of the documents for a validation split."),
        flags.DEFINE_bool("split_sentences", _DEFAULTS.split_sentences, "Cut each line of text into sentences."),
    ]
    flags.DEFINE_alias("do_whole_word_mask", "whole_word_mask")
    return defined


def options_of(defined: Sequence[flags.FlagHolder[Any]], tokenizer: Tokenizer) -> RecordOptions:
    """The options that the flags give; n-grams are of whole words, where `tokenizer` has words, if nothing is said."""
    given = {flag.name: flag.value for flag in defined if flag.value is not None}
    options = RecordOptions(**given)
    if "whole_word_mask" in given:
        return options
    return dataclasses.replace(options, whole_word_mask=options.ngram > 0 and tokenizer.kind != "ids")
