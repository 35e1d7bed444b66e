"""Score a run: a fine-tuned model on a labelled file, or a pretraining run's newest checkpoint on held-out records.

python -m bert_jax.evaluate --workdir=DIR --input=FILE          (a fine-tuned model)
python -m bert_jax.evaluate --workdir=DIR [--records=DIR]       (a pretraining run)
"""

import json
from collections.abc import Sequence
from typing import Any

from absl import flags

from bert_jax import cli
from bert_jax.errors import UserError
from bert_jax.inference.task_scores import score_task
from bert_jax.tasks.columns import AS_IN_TRAINING, COLUMNS_HELP, HEADER_HELP
from bert_jax.training.scoring import score
from bert_jax.workdir.fine_tuned import is_fine_tuned

_WORKDIR = flags.DEFINE_string("workdir", None, "Directory of a run of bert_jax.pretrain or bert_jax.finetune.")
_INPUT = flags.DEFINE_string("input", None, "Labelled file to score a fine-tuned model on.")
_COLUMNS = flags.DEFINE_string("columns", "", COLUMNS_HELP + AS_IN_TRAINING)
_HEADER = flags.DEFINE_enum("header", None, ["auto", "yes", "no"], HEADER_HELP + AS_IN_TRAINING)
_RECORDS = flags.DEFINE_string(
    "records",
    None,
    "Records to score a pretraining run on: their validation split, or all of them if they have none. Default: those "
    "that the run evaluates in its last phase.",
)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "Sequences per batch; the scores do not depend on it.", 1, 100_000)
flags.mark_flag_as_required("workdir")


def main(argv: Sequence[str]) -> None:
    """Print the scores as JSON; a score that is no number is null."""
    del argv
    scores = _of_task() if is_fine_tuned(_WORKDIR.value) else _of_pretraining()
    print(json.dumps(scores, indent=2))


def _of_task() -> dict[str, Any]:
    if not _INPUT.value:
        raise UserError(f"--workdir={_WORKDIR.value} is a fine-tuned model; give the labelled file with --input")
    why = f"is for pretraining runs, and --workdir={_WORKDIR.value} is a fine-tuned model"
    cli.refuse(["records", "batch_size"], why)
    return score_task(_WORKDIR.value, _INPUT.value, _COLUMNS.value, _HEADER.value or "")


def _of_pretraining() -> dict[str, Any]:
    if _INPUT.value:
        raise UserError(
            f"--workdir={_WORKDIR.value} holds no fine-tuned model; give records with --records, not --input"
        )
    cli.refuse(["columns", "header"], f"is for fine-tuned models, and --workdir={_WORKDIR.value} is none")
    return score(_WORKDIR.value, _RECORDS.value, _BATCH_SIZE.value)


if __name__ == "__main__":
    cli.run(main)
