"""Make BERT's training records out of text: sentence pairs with next-sentence labels and precomputed masks.

    python -m bert_jax.build_records --input='text/*.txt' --vocab=vocab --output=records --holdout=0.01

The text has a sentence on each line (or a paragraph, with --split_sentences) and a blank line between documents. Where
it is tokenized already, a line holds ids, and --vocab=ids:VOCAB_SIZE,pad=0,unk=1,cls=2,sep=3,mask=4 says which
special. With one part and no holdout the records are those of the original create_pretraining_data.py, value for value;
with --pairs=sop --ngram=3 those of ALBERT's, if NumPy's generator is given the same seed there. --pairs=none
--blocks=full makes RoBERTa's blocks of sentences; where masks are drawn in training (--config.data.masking=roberta),
--dupe_factor=1 is enough. --pairs=aligned --vocab=VOCAB+ids:N pairs texts with sequences of N ids: a line holds a text,
a tab and ids between spaces.
"""

import os
from collections.abc import Sequence

from absl import flags

from bert_jax import cli
from bert_jax.data.beam_workers import BEAM_OPTIONS_HELP, RUNNERS, parse_beam_options
from bert_jax.data.building import build_records
from bert_jax.data.option_flags import define_options, options_of
from bert_jax.text.corpus import INPUT_HELP, SKIP_BAD_RECORDS_HELP, TEXT_FIELD, TEXT_FIELD_HELP
from bert_jax.text.id_sequences import load_joint_tokenizer

_VOCAB_HELP = "Vocabulary directory or file, or ids:VOCAB_SIZE; --pairs=aligned: VOCAB+ids:N, which has N ids more."

_INPUT = flags.DEFINE_list("input", None, INPUT_HELP, required=True)
_TEXT_FIELD = flags.DEFINE_string("text_field", TEXT_FIELD, TEXT_FIELD_HELP)
_VOCAB = flags.DEFINE_string("vocab", None, _VOCAB_HELP, required=True)
_OUTPUT = flags.DEFINE_string("output", None, "Directory to make for the records.", required=True)
_STRICT = flags.DEFINE_bool("strict", False, "End with an error if anything in the text is suspicious.")
_SKIP_BAD_RECORDS = flags.DEFINE_integer("skip_bad_records", 0, SKIP_BAD_RECORDS_HELP, 0, 10**12)
_NUM_WORKERS = flags.DEFINE_integer("num_workers", os.cpu_count() or 1, "Processes that build parts, at once.")
_RUNNER = flags.DEFINE_enum("runner", "local", RUNNERS, "What builds the parts: processes here, or Apache Beam.")
_BEAM_OPTIONS = flags.DEFINE_string("beam_options", "", BEAM_OPTIONS_HELP)
_DO_LOWER_CASE = flags.DEFINE_bool("do_lower_case", None, "For a vocab.txt alone: whether to lower-case. Default: yes.")
_OPTIONS = define_options()


def main(argv: Sequence[str]) -> None:
    """Build what the flags ask for."""
    del argv
    tokenizer = load_joint_tokenizer(_VOCAB.value, _DO_LOWER_CASE.value)
    options = options_of(_OPTIONS, tokenizer)
    beam = parse_beam_options(_RUNNER.value, _BEAM_OPTIONS.value, _NUM_WORKERS.value)
    more = _NUM_WORKERS.value, _TEXT_FIELD.value, _STRICT.value, beam, _SKIP_BAD_RECORDS.value
    build_records(_INPUT.value, tokenizer, _OUTPUT.value, options, *more)


if __name__ == "__main__":
    cli.run(main, _OUTPUT)
