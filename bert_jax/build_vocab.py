"""Train a vocabulary on text: python -m bert_jax.build_vocab --input='text/*.txt' --output=vocab --vocab_size=30522."""

from collections.abc import Sequence

from absl import flags, logging

from bert_jax import cli
from bert_jax.errors import UserError
from bert_jax.text.vocabulary import KINDS, build_vocabulary, describe

_INPUT = flags.DEFINE_list(
    "input",
    None,
    "Globs of UTF-8 text files (also .gz, .bz2, .xz), separated by commas, or python-docs for the documentation "
    "on this machine.",
    required=True,
)
_OUTPUT = flags.DEFINE_string("output", None, "The directory to write the vocabulary to.", required=True)
_KIND = flags.DEFINE_enum("kind", "wordpiece", KINDS, "WordPiece, byte-level BPE, or SentencePiece's unigram model.")
_VOCAB_SIZE = flags.DEFINE_integer(
    "vocab_size", 30522, "The number of tokens, the five special ones among them. Must match the model's."
)
_LOWERCASE = flags.DEFINE_boolean(
    "lowercase",
    True,
    "Whether case is ignored, as in the uncased BERT models (WordPiece then ignores accents too). "
    "--nolowercase makes a cased vocabulary.",
)


def main(argv: Sequence[str]) -> None:
    """Build the vocabulary that the flags describe, or find it built."""
    del argv
    if _VOCAB_SIZE.value < 1:
        raise UserError(f"--vocab_size={_VOCAB_SIZE.value} must be positive")
    tokenizer = build_vocabulary(_INPUT.value, _OUTPUT.value, _KIND.value, _VOCAB_SIZE.value, _LOWERCASE.value)
    logging.info("Vocabulary %s: %s", _OUTPUT.value, describe(tokenizer, _INPUT.value))


if __name__ == "__main__":
    cli.run(main, _OUTPUT)
