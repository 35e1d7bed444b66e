"""Fine-tuning: labelled files and a pretrained model to a directory that predicts; several seeds in turn."""

import dataclasses
from collections.abc import Mapping

import jax
from absl import logging
from etils import epath

from bert_jax.config import FineTuningConfig, ModelConfig, PhaseConfig, TaskConfig, without_peak
from bert_jax.config.check import require
from bert_jax.config.finetuning import OWN_OF_MODEL
from bert_jax.errors import UserError
from bert_jax.interchange.own_settings import OwnSettings, beside_task, own_settings, write_own_settings
from bert_jax.interchange.pretrained import Pretrained, read_pretrained
from bert_jax.parallel.mesh import make_mesh
from bert_jax.parallel.shared_directory import check_is_shared
from bert_jax.storage.json_file import read_json, write_json
from bert_jax.tasks.encoding import TextEncoder
from bert_jax.tasks.rows import Rows
from bert_jax.tasks.task import Task
from bert_jax.tasks.task_files import (
    TaskFiles,
    check_options,
    digest,
    digest_of_examples,
    in_both_orders,
    make_task,
    read_files,
)
from bert_jax.tasks.text_lengths import TextLengths, text_lengths
from bert_jax.text.tokenizer import Tokenizer
from bert_jax.training.fine_tuning_run import FineTuningData, Floors, steps_of, with_warmup
from bert_jax.training.report_thread import Report
from bert_jax.training.seed_run import SeedRun
from bert_jax.training.task_results import without_nan, write_results
from bert_jax.training.task_teacher import read_task_teacher
from bert_jax.training.teacher import Teacher, check_same_teacher, digest_of_weights, keep_teacher
from bert_jax.workdir import run_directory

ROWS = "rows.json"  # digests of the rows of each split, and of init_from's weights, from the run's begin
WEIGHTS = "init_from"  # there
FLOORS = "floors.json"  # what simple methods reach on these, by split
KeptFloors = dict[str, dict[str, float | None]]


def finetune(config: FineTuningConfig, workdir: epath.PathLike, seeds: int, report: Report | None = None) -> None:
    """Fine-tune with as many seeds, each to its best step on the dev file; keep the best seed's.

    The same call again resumes.

    Raises:
      UserError: files, model, config or directory do not fit together (before a device computes anything).
      SystemExit, KeyboardInterrupt: as loop.train does.
    """
    workdir = epath.Path(workdir)
    run_directory.check_name(workdir)
    config.check()
    _check_is_for_task(config)
    own = own_settings(config.init_from)
    task = with_own_pooling(config.task, own)
    files = read_files(task)
    pretrained = read_pretrained(config.init_from, config.model)
    config = config.for_model(pretrained.config, default_length(files.task, own))
    if files.task.makes_vectors:  # the run is known again by it
        config = dataclasses.replace(config, task=task)
    teacher = _teacher(config, files, pretrained)
    run_directory.check_same_run(workdir, config, pretrained.tokenizer.fingerprint)
    check_same_teacher(workdir, teacher)
    data = _fine_tuning_data(config, files, pretrained, _floors(workdir, files), teacher)
    digests = _check_same_start(workdir, config, data)
    mesh = make_mesh(config.mesh, model=config.model)
    runs = [SeedRun(config, workdir, number, data, pretrained.tokenizer, mesh) for number in range(seeds)]
    runs[0].set_up()  # raises what does not fit before the directory is this run's
    _warn(config, steps_of(config.fit, len(data.train)), pretrained.config)
    if jax.process_index() == 0:
        if teacher:
            keep_teacher(workdir, teacher)
        run_directory.claim(workdir, config, pretrained.tokenizer)
        if files.task.makes_vectors:
            write_own_settings(workdir, beside_task(own, config.task.pooling or None), config.model.hidden_size)
        write_json(workdir / ROWS, digests)
        floors = {split: without_nan(each) for split, each in data.floors.items()}
        write_json(workdir / FLOORS, floors)
    check_is_shared(workdir)
    of_workdir = (lambda _: report(workdir)) if report else None
    scores = [runs.pop(0).result(of_workdir) for _ in range(seeds)]
    if jax.process_index() == 0:
        write_results(config, workdir, data, scores, pretrained.tokenizer)


def _warn(config: FineTuningConfig, steps: int, pretrained: ModelConfig) -> None:
    """Log what is asked for in vain, and no error; and dropout that is not the pretrained model's."""
    for name in OWN_OF_MODEL:
        if (its := getattr(pretrained, name)) != (own := getattr(config.model, name)):
            logging.info("%s=%g in place of the model's %g; --config.model.%s=%g keeps that", name, own, its, name, its)
    phase = PhaseConfig(steps, config.fit.global_batch_size)
    for line in [*without_peak(with_warmup(config, steps), [phase]), *config.without_effect()]:
        logging.warning("%s", line)


def _check_is_for_task(config: FineTuningConfig) -> None:
    """Raise UserError at what is asked for in vain: by settings of other tasks, or without a dev file."""
    check_options(config.task)
    remedy = "without --dev there is no score that gets better; give a file, or leave it out"
    require(not config.fit.patience or bool(config.task.dev), "--config.fit.patience", config.fit.patience, remedy)
    if config.text.long == "windows" and make_task(config.task).windows is None:
        raise UserError(
            f"--long=windows: --task={config.task.kind} compares texts with each other, and cuts those that are too "
            "long; leave it out"
        )


def with_own_pooling(task: TaskConfig, own: OwnSettings) -> TaskConfig:
    """With the pooling that the model says of itself, where nothing else is asked for."""
    return dataclasses.replace(task, pooling=task.pooling or own.pooling or "mean")


def default_length(task: Task, own: OwnSettings) -> int | None:
    """Tokens of a row where nothing else is asked for; None: as many as the model reads."""
    return (own.max_length if task.makes_vectors else None) or task.default_max_length


def _teacher(config: FineTuningConfig, files: TaskFiles, pretrained: Pretrained) -> Teacher | None:
    if not config.teacher:
        return None
    return read_task_teacher(config.teacher, files.task, pretrained.tokenizer, config.text.max_length)


def _fine_tuning_data(
    config: FineTuningConfig,
    files: TaskFiles,
    pretrained: Pretrained,
    floors: Mapping[str, Floors],
    teacher: Teacher | None,
) -> FineTuningData:
    """What a run is made of: examples as rows, and what is known of them."""
    lengths: dict[str, TextLengths] = {}
    rows = {name: _rows(config, files, name, pretrained.tokenizer, lengths) for name in ("train", "dev", "test")}
    train_rows = rows["train"]
    assert train_rows is not None
    return FineTuningData(files, train_rows, rows["dev"], rows["test"], floors, pretrained.arrays, lengths, teacher)


def _check_same_start(workdir: epath.Path, config: FineTuningConfig, data: FineTuningData) -> dict[str, str]:
    """Digests of each split's rows and examples, and of the first weights.

    Raises:
      UserError: the run in `workdir` was begun with others.
    """
    rows = {"train": data.train, "dev": data.dev, "test": data.test}
    now = {split: digest(some) for split, some in rows.items() if some is not None}
    now |= {f"{split} examples": digest_of_examples(getattr(data.files, split)) for split in now}
    path = workdir / ROWS
    before = read_json(path, dict[str, str], "restore it, or give another --workdir") if path.exists() else now
    for split in rows:
        gold = f"{split} examples"  # an earlier version did not keep that
        if before.get(split) != now.get(split) or before.get(gold, now.get(gold)) != now.get(gold):
            raise UserError(
                f"{workdir} was started with other rows than --{split}={getattr(config.task, split)} has now; "
                "give the same file to resume, or another --workdir"
            )
    now[WEIGHTS] = digest_of_weights(data.weights)
    if before.get(WEIGHTS, now[WEIGHTS]) != now[WEIGHTS]:  # as when it is a run that goes on
        raise UserError(
            f"{workdir} was started with other weights than --init_from={config.init_from} has now; give the same "
            "weights to resume, or another --workdir"
        )
    return now


def _rows(
    config: FineTuningConfig, files: TaskFiles, split: str, tokenizer: Tokenizer, lengths: dict[str, TextLengths]
) -> Rows | None:
    """The rows of a split, whose lengths are put into `lengths`."""
    examples = getattr(files, split)
    if split == "train" and config.task.double_unordered:
        examples = in_both_orders(examples)
    if not examples:
        return None
    encoder = TextEncoder(tokenizer, config.text, files.task.windows)
    rows = files.task.encode(examples, encoder)
    encoder.log_lengths(getattr(config.task, split), "--long=windows")
    lengths[split] = text_lengths(rows, encoder)
    return rows


def _floors(workdir: epath.Path, files: TaskFiles) -> dict[str, Floors]:
    """What simple methods reach on each split, {} where there is none: kept, since they take seconds."""
    path = workdir / FLOORS
    if path.exists():
        kept = read_json(path, dict[str, KeptFloors], "delete it, and it is made again")
        return {split: _with_nan(floors) for split, floors in kept.items()}
    splits = {"dev": files.dev, "test": files.test}
    return {name: files.task.floors(files.train, examples) if examples else {} for name, examples in splits.items()}


def _with_nan(floors: KeptFloors) -> Floors:
    return {
        method: {name: float("nan") if value is None else value for name, value in scores.items()}
        for method, scores in floors.items()
    }
