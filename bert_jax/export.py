"""Write a pretraining run's weights or a fine-tuned model in another framework's format, with tokenizer and model card.

python -m bert_jax.export --workdir=DIR --format=huggingface|sentence-transformers|numpy|tensorflow --output=DIR
    [--step=N]
"""

from collections.abc import Sequence

from absl import flags, logging

from bert_jax import cli
from bert_jax.interchange.exports import LIBRARIES, Wanted, export_fine_tuned, export_pretrained
from bert_jax.interchange.families import FAMILIES
from bert_jax.storage.new_directory import new_directory
from bert_jax.workdir.fine_tuned import is_fine_tuned

_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Directory of a run of bert_jax.pretrain or bert_jax.finetune.", required=True
)
_FORMAT = flags.DEFINE_enum(
    "format",
    None,
    list(LIBRARIES),
    "What to write; huggingface is for transformers (BertForPreTraining and its relatives, or the class of the task), "
    "sentence-transformers for the encoder with the mean of its states, tensorflow for the programs of "
    "google-research/bert (pretrained models only), numpy an .npz file.",
    required=True,
)
_OUTPUT = flags.DEFINE_string("output", None, "Directory to write; an earlier export in it is replaced.", required=True)
_STEP = flags.DEFINE_integer(
    "step", None, "Step of the checkpoint of a pretraining run to export. Default: the newest.", 0
)
_NORMALIZE = flags.DEFINE_boolean("normalize", False, "sentence-transformers: vectors have length 1.")
_FAMILY = flags.DEFINE_enum(
    "family", None, list(FAMILIES), "As which of transformers' models. Default: the one that loses nothing."
)


def main(argv: Sequence[str]) -> None:
    """Write the output directory whole, or leave it as it was."""
    del argv
    with new_directory(_OUTPUT.value) as aside:
        export = export_fine_tuned if is_fine_tuned(_WORKDIR.value) else export_pretrained
        step = export(aside, _WORKDIR.value, Wanted(_FORMAT.value, _STEP.value, _NORMALIZE.value, _FAMILY.value))
    logging.info("exported step %d of %s to %s", step, _WORKDIR.value, _OUTPUT.value)


if __name__ == "__main__":
    cli.run(main, _OUTPUT)
