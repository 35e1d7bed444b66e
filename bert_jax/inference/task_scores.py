"""The scores of a fine-tuned model on a labelled file."""

from typing import Any

from etils import epath

from bert_jax.inference.predicting import options_of_input, read_inputs
from bert_jax.inference.predictor import keep_compiled, load_predictor
from bert_jax.inference.progress import Progress
from bert_jax.storage.json_file import finite_or_none
from bert_jax.tasks.chance import interval
from bert_jax.tasks.kinds import trained_task
from bert_jax.workdir import fine_tuned


def score_task(workdir: epath.PathLike, source: str, columns: str = "", header: str = "") -> dict[str, Any]:
    """The task's scores on the examples of `source`, and a 95 % interval of the headline score.

    Keys: "task", its kind; "examples", how many; each of the task's metrics by name, float, or None where it is not
    finite; HEADLINE_interval, [low, high], of the first of them.

    columns, header: as the flags of finetune; "" where they are those of training.

    Raises:
      UserError: there is no model, or the file cannot be read, or has labels that the model does not know.
    """
    model = fine_tuned.read_description(workdir)
    task, options = trained_task(model.kind, model.settings), options_of_input(model.options, columns, header)
    examples = read_inputs(task, source, options, asked=bool(columns), needs_labels=True)
    task = task.for_scoring(examples)
    keep_compiled(workdir)
    predictor = load_predictor(workdir)
    rows = predictor.rows(examples, source)
    with Progress("predicting", len(examples)) as progress:
        outputs = predictor.outputs(rows, progress.of_examples(len(examples), len(rows)))
    predictions = task.predictions(outputs, rows, examples)
    scores = task.scores(predictions, examples)
    low, high = interval(task, predictions, examples)
    headline = task.metrics[0].name
    found = {name: finite_or_none(value) for name, value in scores.items()}
    bounds = [finite_or_none(low), finite_or_none(high)]
    return {"task": task.kind, "examples": len(examples), **found, f"{headline}_interval": bounds}
