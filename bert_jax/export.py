"""Write a run's weights in another framework's format, with tokenizer and model card.

python -m bert_jax.export --workdir=DIR --format=huggingface|numpy|tensorflow --output=DIR [--step=N]
"""

from collections.abc import Sequence

from absl import flags, logging

from bert_jax import cli
from bert_jax.interchange.huggingface import write_huggingface
from bert_jax.interchange.model_card import model_card
from bert_jax.interchange.numpy import write_numpy
from bert_jax.interchange.tensorflow import write_tensorflow
from bert_jax.model.pretraining import pretraining_model
from bert_jax.storage.new_directory import new_directory
from bert_jax.text.tokenizer import load_tokenizer
from bert_jax.workdir.run_directory import read_config
from bert_jax.workdir.trained import read_trained

WRITERS = {"huggingface": write_huggingface, "numpy": write_numpy, "tensorflow": write_tensorflow}
LIBRARIES = {"huggingface": "transformers", "numpy": "numpy", "tensorflow": "tensorflow"}  # as model cards name them

_WORKDIR = flags.DEFINE_string("workdir", None, "Directory of a run of bert_jax.pretrain.", required=True)
_FORMAT = flags.DEFINE_enum(
    "format",
    None,
    list(WRITERS),
    "What to write; huggingface is for transformers' BertForPreTraining and its relatives, tensorflow for the programs "
    "of google-research/bert, numpy an .npz file.",
    required=True,
)
_OUTPUT = flags.DEFINE_string("output", None, "Directory to write; an earlier export in it is replaced.", required=True)
_STEP = flags.DEFINE_integer("step", None, "Step of the checkpoint to export. Default: the newest.", 0)


def main(argv: Sequence[str]) -> None:
    """Write the output directory whole, or leave it as it was."""
    del argv
    model = read_config(_WORKDIR.value).model
    with new_directory(_OUTPUT.value) as aside:
        tokenizer = load_tokenizer(f"{_WORKDIR.value}/tokenizer")
        abstract_params = pretraining_model(model).abstract_params
        trained = read_trained(_WORKDIR.value, abstract_params, tokenizer.fingerprint, _STEP.value)
        WRITERS[_FORMAT.value](aside, trained, model, tokenizer)
        (aside / "README.md").write_text(model_card(trained, model, tokenizer, LIBRARIES[_FORMAT.value]))
    logging.info("exported step %d of %s to %s", trained.step, _WORKDIR.value, _OUTPUT.value)


if __name__ == "__main__":
    cli.run(main, _OUTPUT)
