"""The labelled files of a fine-tuning run, read and checked before anything else is done."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import google_crc32c
import numpy as np
from absl import logging

from bert_jax.config import TaskConfig
from bert_jax.errors import UserError
from bert_jax.tasks.kinds import KINDS
from bert_jax.tasks.rows import Rows
from bert_jax.tasks.task import Example, Task


@dataclasses.dataclass(frozen=True)
class TaskFiles:
    """Examples by split; [] where there is no such file."""

    task: Task  # with its label names
    train: Sequence[Example]
    dev: Sequence[Example]
    test: Sequence[Example]


def read_files(config: TaskConfig) -> TaskFiles:
    """The files of --train, --dev and --test.

    Raises:
      UserError: a file cannot be read, has no examples, or has labels that the training file does not have.
    """
    task = make_task(config)
    if not config.train:
        raise UserError("--train is missing, give the file of labelled examples that is learned from")
    train, dev, test = (read_all(task, files, config) for files in (config.train, config.dev, config.test))
    task = task.fitted(train, config)
    if scored := [*dev, *test]:
        task = task.for_scoring(scored)
    if not dev:
        logging.warning("there is no --dev file: the last step's weights are kept, and no score says which are best")
    return TaskFiles(task, train, dev, test)


def make_task(config: TaskConfig) -> Any:
    """The task of --task, of which nothing is known yet."""
    if config.kind not in KINDS:
        raise UserError(f"--task={config.kind} is no task; give one of {', '.join(KINDS)}")
    return KINDS[config.kind]()


def check_options(config: TaskConfig) -> None:
    """Raise UserError at a setting that the task does not look at."""
    options, usual = make_task(config).options, TaskConfig()
    for name in sorted({option for kind in KINDS.values() for option in kind.options}.difference(options)):
        if (value := getattr(config, name)) != getattr(usual, name):
            flag = name if name in ("columns", "strict") else f"config.task.{name}"
            raise UserError(f"--{flag}={value} is not for --task={config.kind}; leave it out")


def read_all(task: Task, files: str, config: TaskConfig) -> list[Example]:
    """The examples of files separated by commas, one after the other; each has its label."""
    examples = [example for file in files.split(",") if file for example in task.read(file, config, needs_labels=True)]
    if files:
        logging.info("%s: %s examples", files, f"{len(examples):,}")
    return examples


def in_both_orders(examples: Sequence[Example]) -> list[Example]:
    """Pairs and their mirror images, for relations that are the same both ways (ELECTRA's double_unordered)."""
    pairs = [one for one in examples if getattr(one, "text2", None) is not None]
    mirrored = [dataclasses.replace(one, text=one.text2, text2=one.text) for one in pairs]
    if len(mirrored) < len(examples):
        raise UserError("--config.task.double_unordered is for pairs of texts; leave it out")
    return [*examples, *mirrored]


def digest_of_examples(examples: Sequence[Example]) -> str:
    """What tells other examples from these, wherever they lie: also by what no row has, such as further answers."""
    value = 0
    for example in examples:
        value = google_crc32c.extend(value, repr(dataclasses.replace(example, place="")).encode())
    return f"{value:08x}"


def digest(rows: Rows) -> str:
    """What tells other training rows from these, in a few digits."""
    parts = [
        rows.ids,
        rows.starts,
        rows.first_segment,
        rows.example,
        *(rows.labels[name] for name in sorted(rows.labels)),
    ]
    if rows.token_labels is not None:
        parts.append(rows.token_labels)
    value = 0
    for part in parts:
        value = google_crc32c.extend(value, np.ascontiguousarray(part).tobytes())
    return f"{value:08x}"
