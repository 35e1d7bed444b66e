"""Answer the examples of a file with a fine-tuned model, or fill in [MASK] with a pretrained one.

python -m bert_jax.predict --workdir=DIR --input=FILE --output=FILE
"""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from absl import flags, logging

from bert_jax import cli
from bert_jax.errors import UserError
from bert_jax.inference.fill_mask import fill_masks
from bert_jax.inference.predicting import predict
from bert_jax.storage.lock import only_maker
from bert_jax.storage.paths import check_is_other
from bert_jax.tasks.columns import AS_IN_TRAINING, COLUMNS_HELP, HEADER_HELP
from bert_jax.workdir.fine_tuned import is_fine_tuned

_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Run of bert_jax.finetune, or of bert_jax.pretrain to fill in [MASK].", required=True
)
_INPUT = flags.DEFINE_string("input", None, "File with the examples; - is standard input.", required=True)
_OUTPUT = flags.DEFINE_string(
    "output", "-", "File of predictions: .jsonl, .tsv, .conll (tags) or .json (answers by id); - is standard output."
)
_COLUMNS = flags.DEFINE_string("columns", "", COLUMNS_HELP + AS_IN_TRAINING)
_HEADER = flags.DEFINE_enum("header", None, ["auto", "yes", "no"], HEADER_HELP + AS_IN_TRAINING)
_BEST = flags.DEFINE_integer("best", 5, "Pretrained model: number of words for each [MASK].", 1, 1000)
_DTYPE = flags.DEFINE_enum("dtype", "float32", ["float32", "bfloat16"], "dtype of activations and products.")


def main(argv: Sequence[str]) -> None:
    """Write the answers, in the order of the input."""
    del argv
    is_file = _OUTPUT.value != "-"
    if Path(_OUTPUT.value).is_dir():
        raise UserError(f"--output={_OUTPUT.value} is a directory; give a file")
    if is_file:
        check_is_other(_OUTPUT.value, "input", _INPUT.value)
    with only_maker(_OUTPUT.value) if is_file else nullcontext():
        number = _fine_tuned() if is_fine_tuned(_WORKDIR.value) else _pretrained()
    if is_file:
        logging.info("%s: %s answers", _OUTPUT.value, f"{number:,}")


def _fine_tuned() -> int:
    cli.refuse(["best"], f"is for [MASK] and a pretrained model, and --workdir={_WORKDIR.value} is a fine-tuned one")
    header = _HEADER.value or ""
    return predict(_WORKDIR.value, _INPUT.value, _OUTPUT.value, _COLUMNS.value, header, _DTYPE.value)


def _pretrained() -> int:
    how = _BEST.value, _COLUMNS.value, _HEADER.value or "auto", _DTYPE.value
    return fill_masks(_WORKDIR.value, _INPUT.value, _OUTPUT.value, *how)


if __name__ == "__main__":
    cli.run(main)
