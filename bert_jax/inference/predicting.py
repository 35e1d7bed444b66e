"""The work of `predict`: a file of examples answered by a fine-tuned model, in chunks that a kill does not lose."""

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from absl import logging
from etils import epath
from tqdm import tqdm

from bert_jax.config import TaskConfig
from bert_jax.inference.answers import Pairs, check_ids, format_of
from bert_jax.inference.predictor import Predictor, keep_compiled, load_predictor
from bert_jax.storage.json_file import read_json_lines
from bert_jax.storage.whole_file import replace_text, whole_file
from bert_jax.tasks.columns import Columns, NoSuchColumnsError
from bert_jax.tasks.lines import STANDARD_INPUT, is_json_input
from bert_jax.tasks.task import Example, Prediction, Task
from bert_jax.workdir import fine_tuned

CHUNK = 5000  # examples between two writes


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
    keep_compiled(workdir)
    predictor = load_predictor(workdir, dtype)
    examples = read_inputs(predictor.task, source, options, asked=bool(columns))
    check_ids(write, examples)
    if output == "-":
        answered = zip(examples, _in_chunks(predictor, examples, 0, source), strict=True)
        for line in write(answered):
            print(line, flush=True)
    else:
        head = begun_head(model.weights_crc32c, examples, dtype)
        _to_file(predictor, examples, source, output, head, write)
    return len(examples)


def options_of_input(trained: TaskConfig, columns: str, header: str) -> TaskConfig:
    """How a file is read: as those of training, but for what is not ""."""
    given: dict[str, Any] = {name: value for name, value in (("columns", columns), ("header", header)) if value}
    return dataclasses.replace(trained, **given)


def read_inputs(task: Task, source: str, options: TaskConfig, asked: bool, needs_labels: bool = False) -> list[Example]:
    """The examples; where no columns were asked for, those of training, or else those whose names say it.

    The latter only where none of those of training is there, as in lines of text: never another text in its place.
    """
    by_name = dataclasses.replace(options, columns="")
    said = Columns.of(options.columns)
    of_words = said.get("word") or said.get("tag")  # words and tags have columns there, too: conll.py
    if not asked and source == STANDARD_INPUT and not of_words and not is_json_input():
        return task.read(source, by_name, needs_labels)  # a text a line: there are no columns
    try:
        return task.read(source, options, needs_labels)
    except NoSuchColumnsError as missing:
        if asked or source == STANDARD_INPUT:
            raise
        logging.info("%s (those of training are not there, so columns are found by their names)", missing)
        return task.read(source, by_name, needs_labels)


def _in_chunks(predictor: Predictor, examples: Sequence[Example], done: int, name: str) -> Iterator[Prediction]:
    """The predictions of the examples from number `done` on, made a chunk at a time."""
    with tqdm(total=len(examples), initial=done, unit=" examples", disable=not sys.stderr.isatty()) as bar:
        for start in range(done, len(examples), CHUNK):
            chunk = examples[start : start + CHUNK]
            yield from predictor.answers(chunk, f"{name}, examples {start + 1} to {start + len(chunk)}")
            bar.update(len(chunk))


def _to_file(
    predictor: Predictor,
    examples: Sequence[Example],
    source: str,
    output: str,
    head: dict[str, str],
    write: Callable[[Pairs], Iterator[str]],
) -> None:
    """Through OUTPUT.partial, which grows and from which the same command goes on, to OUTPUT, which is whole."""
    begun = epath.Path(f"{output}.partial")
    done = _done_before(begun, head)
    if done:
        logging.info("%s: going on after %s examples", output, f"{len(done):,}")
    else:
        replace_text(begun, json.dumps(head) + "\n")
    with begun.open("a") as file:
        for number, prediction in enumerate(_in_chunks(predictor, examples, len(done), source), len(done) + 1):
            file.write(json.dumps(prediction, ensure_ascii=False) + "\n")
            if number % CHUNK == 0:
                file.flush()
            done.append(prediction)
    with whole_file(output) as whole:
        for line in write(zip(examples, done, strict=True)):
            whole.write(f"{line}\n".encode())
    begun.unlink()


def begun_head(weights: str, examples: Sequence[Example], dtype: str) -> dict[str, str]:
    """The first line of OUTPUT.partial: which model's answers to which examples these are, and in which precision."""
    return {"weights": weights, "examples": fine_tuned.digest(repr(examples).encode()), "dtype": dtype}


def _done_before(begun: epath.Path, head: dict[str, str]) -> list[Prediction]:
    """What a killed command of the same model and input has answered already."""
    if not begun.exists():
        return []
    lines: list[Any] = read_json_lines(begun, dict[str, Any], "delete it")
    if not lines or lines[0] != head:
        return []
    whole = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    replace_text(begun, whole)  # without a last line that is torn
    return lines[1:]
