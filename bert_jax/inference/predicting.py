"""The work of `predict`: a file of examples answered by a fine-tuned model, in chunks that a kill does not lose."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from absl import logging
from etils import epath

from bert_jax.config import TaskConfig
from bert_jax.errors import UserError
from bert_jax.inference.answer_file import in_chunks, write_answers
from bert_jax.inference.answers import check_ids, format_of
from bert_jax.inference.predictor import keep_compiled, load_predictor
from bert_jax.inference.progress import Progress
from bert_jax.tasks.columns import ROLES, Columns, NoSuchColumnsError
from bert_jax.tasks.kinds import trained_task
from bert_jax.tasks.lines import STANDARD_INPUT, is_json_input, shown
from bert_jax.tasks.task import Example, Prediction, Task
from bert_jax.tasks.task_files import make_task
from bert_jax.workdir import fine_tuned
from bert_jax.workdir.fine_tuned import FineTuned


def predict(
    workdir: epath.PathLike, source: str, output: str, columns: str = "", header: str = "", dtype: str = "float32"
) -> int:
    """Answer each example of the file `source`, in its order; gives how many there are.

    columns, header: as the flags of finetune; "" where they are those of training.

    Raises:
      UserError: there is no model, the file cannot be read, or the output's name says no format, or one that is for
        other tasks.
    """
    model = fine_tuned.read_description(workdir)
    write = format_of(output, model.kind)
    options = options_of_input(model.options, columns, header)
    task = trained_task(model.kind, model.settings)
    examples = read_inputs(task, source, options, asked=bool(columns))
    check_ids(write, examples)
    keep_compiled(workdir)
    predictor = load_predictor(workdir, dtype)

    def answers(chunk: Sequence[Example], start: int, progress: Progress) -> Iterable[Prediction]:
        return predictor.answers(chunk, f"{source}, examples {start + 1} to {start + len(chunk)}", progress)

    def made(done: int) -> Iterator[Prediction]:
        return in_chunks(examples, done, answers)

    if output == "-":
        for line in write(zip(examples, made(0), strict=True)):
            print(line, flush=True)
    else:
        head = begun_head(model, examples, dtype)
        write_answers(output, head, made, lambda done: write(zip(examples, done, strict=True)))
    return len(examples)


def options_of_input(trained: TaskConfig, columns: str, header: str) -> TaskConfig:
    """How a file is read: as those of training, but for what is not ""."""
    if columns and "columns" not in make_task(trained).options:
        raise UserError(f"--columns={columns} is not for --task={trained.kind}; leave it out")
    given: dict[str, Any] = {name: value for name, value in (("columns", columns), ("header", header)) if value}
    return dataclasses.replace(trained, **given)


def read_inputs(task: Task, source: str, options: TaskConfig, asked: bool, needs_labels: bool = False) -> list[Example]:
    """The examples; where no columns were asked for, those of training, or else those whose names say it.

    The latter only where none of those of training is there, as in lines of text: never another text in its place.
    """
    by_name = dataclasses.replace(options, columns="")
    said = Columns.of(options.columns, ROLES)
    of_words = said.get("word") or said.get("tag")  # words and tags have columns there, too: conll.py
    if not asked and source == STANDARD_INPUT and not of_words and not is_json_input():
        return task.read(source, by_name, needs_labels)  # a text a line: there are no columns
    try:
        examples = task.read(source, options, needs_labels)
        if asked and said.get("id") and all(example.id is None for example in examples):
            raise UserError(f"{shown(source)} has no column {said.get('id')!r}; correct id: in --columns")
        return examples
    except NoSuchColumnsError as missing:
        if asked or source == STANDARD_INPUT:
            raise
        logging.info("%s (those of training are not there, so columns are found by their names)", missing)
        return task.read(source, by_name, needs_labels)


def begun_head(model: FineTuned, examples: Sequence[Example], dtype: str) -> dict[str, str]:
    """The first line of OUTPUT.partial: which model's answers to which examples these are, and in which precision."""
    settings = model.kind, model.settings, model.text  # thresholds, windows ...
    digests = {"settings": repr(settings), "examples": repr(examples)}
    of_text = {name: fine_tuned.digest(text.encode()) for name, text in digests.items()}
    return {"weights": model.weights_crc32c, **of_text, "dtype": dtype}
