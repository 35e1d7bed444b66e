"""Write a trained model in another framework's format, with tokenizer and model card.

python -m bert_jax.export --workdir=DIR|--model=MODEL --output=DIR
    --format=huggingface|sentence-transformers|numpy|tensorflow|onnx|stablehlo [--step=N]
    [--family=bert|roberta|albert|distilbert|roformer] [--quantize=int8 [--test=FILE]] [--opset=N] [--dtype=bfloat16]
"""

from collections.abc import Sequence

from absl import flags, logging

from bert_jax import cli
from bert_jax.interchange.exports import LIBRARIES, ExportOptions
from bert_jax.interchange.families import FAMILIES
from bert_jax.interchange.foreign_exports import export
from bert_jax.serving.options import define_options
from bert_jax.serving.programs import program_writer
from bert_jax.storage.new_directory import new_directory

_WORKDIR = flags.DEFINE_string("workdir", None, "Run to export, of bert_jax.pretrain or bert_jax.finetune.")
_MODEL = flags.DEFINE_string(
    "model", None, "Model to export: Hugging Face directory or file, numpy export, original checkpoint, workdir."
)
_FORMAT = flags.DEFINE_enum(
    "format",
    None,
    list(LIBRARIES),
    "What to write; huggingface is for transformers (BertForPreTraining and its relatives, or the class of the task), "
    "sentence-transformers for the encoder with what makes vectors of its states, tensorflow for the programs of "
    "google-research/bert (pretrained models only), numpy an .npz file, onnx and stablehlo a program.",
    required=True,
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "Directory to write, in place of an earlier export (in gs:// removed first).", required=True
)
_STEP = flags.DEFINE_integer(
    "step", None, "Step of the checkpoint of a pretraining run to export. Default: the newest.", 0, 10**12
)
_NORMALIZE = flags.DEFINE_boolean("normalize", False, "sentence-transformers, onnx, stablehlo: vectors get length 1.")
_FAMILY = flags.DEFINE_enum("family", None, list(FAMILIES), "huggingface: architecture to write. Default: the model's.")
_DROP_HEADS = flags.DEFINE_boolean(
    "drop_heads", False, "Export the encoder alone, without the heads of pretraining or of a task."
)
_PROGRAM = define_options()
flags.mark_flags_as_mutual_exclusive(["workdir", "model"], required=True)


def main(argv: Sequence[str]) -> None:
    """Write the output directory whole, or leave it as it was."""
    del argv
    writer = program_writer(_FORMAT.value, _PROGRAM())
    options = ExportOptions(_FORMAT.value, _STEP.value, _NORMALIZE.value, _FAMILY.value, _DROP_HEADS.value, writer)
    with new_directory(_OUTPUT.value) as aside:
        what = export(aside, _WORKDIR.value, _MODEL.value, options)
    logging.info("exported %s to %s", what, _OUTPUT.value)


if __name__ == "__main__":
    cli.run(main, _OUTPUT)
