"""Train a vocabulary on text: python -m bert_jax.build_vocab --input='text/*.txt' --output=vocab --vocab_size=30522."""

import os
from collections.abc import Sequence

from absl import flags, logging

from bert_jax import cli
from bert_jax.errors import UserError
from bert_jax.text.corpus import INPUT_HELP, SKIP_BAD_RECORDS_HELP, TEXT_FIELD, TEXT_FIELD_HELP, Corpus
from bert_jax.text.token_ids import MOST_IDS
from bert_jax.text.vocabulary import KINDS, KINDS_HELP, build_vocabulary, describe, ignores_case

_INPUT = flags.DEFINE_list("input", None, INPUT_HELP, required=True)
_TEXT_FIELD = flags.DEFINE_string("text_field", TEXT_FIELD, TEXT_FIELD_HELP)
_SKIP_BAD_RECORDS = flags.DEFINE_integer("skip_bad_records", 0, SKIP_BAD_RECORDS_HELP, 0, 10**12)
_NUM_WORKERS = flags.DEFINE_integer(
    "num_workers", os.cpu_count() or 1, "Processes that clean a MediaWiki dump.", 1, 1000
)
_OUTPUT = flags.DEFINE_string("output", None, "Directory to make for the vocabulary.", required=True)
_KIND = flags.DEFINE_enum("kind", "wordpiece", KINDS, KINDS_HELP)
_VOCAB_SIZE = flags.DEFINE_integer(
    "vocab_size",
    30522,
    "Number of tokens, special tokens included. Must match the model's.",
    upper_bound=10_000_000,
)
_LOWERCASE = flags.DEFINE_boolean(
    "lowercase",
    None,
    "Whether text is lower-cased (WordPiece then drops accents too). Default: as in the originals, yes but for "
    "--kind=bpe. --nolowercase makes a cased vocabulary.",
)
_STRIP_ACCENTS = flags.DEFINE_boolean(
    "strip_accents",
    None,
    "WordPiece: whether accents, and with them all combining marks, are dropped. Default: where text is lower-cased "
    "(unigram: always). --nostrip_accents keeps the vowel signs of Indic scripts, Thai, Arabic and Hebrew.",
)
_TOKENIZE_CHINESE_CHARS = flags.DEFINE_boolean(
    "tokenize_chinese_chars", True, "WordPiece: whether each CJK character is a word of its own."
)


def main(argv: Sequence[str]) -> None:
    """Build the vocabulary that the flags describe, or find it built."""
    del argv
    if _VOCAB_SIZE.value < 1:
        raise UserError(f"--vocab_size={_VOCAB_SIZE.value} must be positive")
    if _VOCAB_SIZE.value > MOST_IDS:  # for which the trainers take their memory at once
        raise UserError(f"--vocab_size={_VOCAB_SIZE.value} must be at most {MOST_IDS}")
    corpus = Corpus(_INPUT.value, False, _TEXT_FIELD.value, _NUM_WORKERS.value, _SKIP_BAD_RECORDS.value)
    lowercase = ignores_case(_KIND.value) if _LOWERCASE.value is None else _LOWERCASE.value
    settings = (lowercase, _STRIP_ACCENTS.value, _TOKENIZE_CHINESE_CHARS.value)
    tokenizer = build_vocabulary(corpus, _OUTPUT.value, _KIND.value, _VOCAB_SIZE.value, *settings)
    logging.info("Vocabulary %s: %s", _OUTPUT.value, describe(tokenizer, corpus))


if __name__ == "__main__":
    cli.run(main, _OUTPUT)
