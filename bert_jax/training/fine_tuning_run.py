"""One fine-tuning run, of one seed, set up for the loop."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from etils import epath
from jax.sharding import Mesh

from bert_jax.config import EvaluationConfig, FineTuningConfig, FitConfig, OptimizerConfig, PhaseConfig
from bert_jax.config.check import require
from bert_jax.inference.forward import Forward, is_complete
from bert_jax.inference.progress import Progress
from bert_jax.model.functional import Model, Params
from bert_jax.objectives.objective import Objective
from bert_jax.objectives.task import TaskObjective
from bert_jax.objectives.task_distillation import TaskDistillationObjective
from bert_jax.objectives.tasks import OBJECTIVES
from bert_jax.parallel.mesh import check_heads
from bert_jax.parallel.peak import peak_flops
from bert_jax.tasks.batching import TrainingOrder, choose_lengths
from bert_jax.tasks.rows import Rows
from bert_jax.tasks.task import Example, Task
from bert_jax.tasks.task_files import TaskFiles
from bert_jax.tasks.text_lengths import TextLengths
from bert_jax.training.best_step import BestStep
from bert_jax.training.compiled_shapes import CompiledShapes
from bert_jax.training.description import versions
from bert_jax.training.example_feed import ExampleFeed
from bert_jax.training.frozen import FrozenModel, frozen_teacher
from bert_jax.training.layer_rates import freeze, rates, without_fresh
from bert_jax.training.logs import open_logs
from bert_jax.training.meter import MonitorState
from bert_jax.training.optimizer import learning_rate_schedule
from bert_jax.training.program import Program, make_program
from bert_jax.training.run import Run
from bert_jax.training.state import State, init_state
from bert_jax.training.teacher import Teacher
from bert_jax.training.warm_start import fill_in

Floors = Mapping[str, Mapping[str, float]]  # of each method: its scores


@dataclasses.dataclass(frozen=True)
class FineTuningData:
    """All that the runs of several seeds have in common."""

    files: TaskFiles
    train: Rows
    dev: Rows | None
    test: Rows | None
    floors: Mapping[str, Floors]  # on "dev" and "test"
    weights: Mapping[str, np.ndarray]  # of init_from, by our paths
    lengths: Mapping[str, TextLengths]  # of each split's texts
    teacher: Teacher | None = None  # fine-tuned for the same task


def steps_of(fit: FitConfig, rows: int) -> int:
    """Steps of the run: int(rows / batch * epochs), as in run_classifier.py:843."""
    return fit.steps or max(1, int(rows / fit.global_batch_size * fit.epochs))


def fine_tuning_program(config: FineTuningConfig, data: FineTuningData, feed: ExampleFeed, mesh: Mesh) -> Program:
    """What the run computes; its step is compiled for all shapes of the feed at once.

    Raises:
      UserError: a batch, a parameter or the attention heads do not divide over the mesh.
    """
    check_heads(mesh, config.model.num_attention_heads)
    task, layers, fit = data.files.task, config.model.distinct_layers, config.fit
    options = task.objective_options(data.files.train, config.task)
    keep_still: Callable[[Model], Model] = functools.partial(freeze, layers=layers, frozen=fit.frozen_layers)
    alone = OBJECTIVES[task.loss](config.model, task.num_outputs, task.metrics, task.head, keep_still, **options)
    by_layer = functools.partial(rates, layers=layers, decay=fit.layer_decay, frozen=fit.frozen_layers)
    is_uniform = fit.layer_decay == 1.0 and fit.frozen_layers < 0
    phases = [_phase(config, feed)]
    objective, frozen = _with_teacher(alone, config, data.teacher, mesh)
    by_each = None if is_uniform else by_layer
    program = make_program(objective, config.train, config.optimizer, phases, mesh, by_each, frozen)
    if data.teacher:
        program = program.with_frozen_weights(data.teacher.arrays)
    return dataclasses.replace(program, run_step=CompiledShapes(program.run_step, feed.abstract_batches(mesh)))


def _with_teacher(
    task: TaskObjective, config: FineTuningConfig, teacher: Teacher | None, mesh: Mesh
) -> tuple[Objective, tuple[FrozenModel, ...]]:
    """What is minimised, and the frozen models that it needs."""
    if teacher is None:
        return task, ()
    objective = TaskDistillationObjective(task, teacher.config, config.distillation)
    return objective, (frozen_teacher(objective, config.train.dtype, mesh, config.optimizer.shard_over_data),)


def _phase(config: FineTuningConfig, feed: ExampleFeed) -> PhaseConfig:
    """The run as the schedule and the optimizer see it."""
    return PhaseConfig(feed.last_step, config.fit.global_batch_size, feed.lengths[-1])


def make_feed(config: FineTuningConfig, data: FineTuningData) -> ExampleFeed:
    """The training rows in the order of the config's seed."""
    lengths, steps = data.train.lengths, steps_of(config.fit, len(data.train))
    longest = config.model.max_position_embeddings
    if data.teacher:
        longest = min(longest, data.teacher.config.max_position_embeddings)
    return ExampleFeed(
        rows=data.train,
        order=TrainingOrder(lengths, config.fit.global_batch_size, config.train.seed),
        lengths=choose_lengths(
            lengths, config.text.max_shapes, limit=longest, least_saving=_saving_of_a_shape(lengths, steps)
        ),
        last_step=steps,
        predictions=0 if data.files.task.reads_all_tokens else 1,
        accumulation_steps=config.train.accumulation_steps,
    )


def _saving_of_a_shape(lengths: np.ndarray, steps: int) -> float:
    """Tokens of padding of all rows that one more shape must save: to compile it takes about as long as 20 steps."""
    return 20 / steps * float(lengths.sum())


def with_warmup(config: FineTuningConfig, steps: int) -> OptimizerConfig:
    """The config's optimizer with the warm-up of a run of so many steps."""
    warmup = config.optimizer.warmup_steps or int(config.fit.warmup_share * steps)
    return dataclasses.replace(config.optimizer, warmup_steps=warmup)


def make_run(config: FineTuningConfig, directory: epath.Path, data: FineTuningData, mesh: Mesh) -> tuple[Run, BestStep]:
    """The run of the config's seed in `directory`, and what keeps its best step."""
    feed = make_feed(config, data)
    config.profile.check_is_in(feed.last_step)
    config = dataclasses.replace(config, optimizer=with_warmup(config, feed.last_step))
    decay, longest = config.optimizer.decay_steps, feed.last_step - config.optimizer.warmup_steps
    remedy = f"the run has {longest} steps after its warm-up; give at most that"
    require(decay <= longest or not decay, "--config.optimizer.decay_steps", decay, remedy)
    program = fine_tuning_program(config, data, feed, mesh)
    schedule = learning_rate_schedule(config.optimizer, [_phase(config, feed)])
    best = BestStep(directory, data.files.task.metrics[0], config.fit.patience)
    weights = without_fresh(data.weights, config.model.distinct_layers, config.fit.fresh_layers)
    run = Run(
        directory=directory,
        train=config.train,
        evaluation=EvaluationConfig(every_steps=_evaluate_every(config.fit, feed.last_step, len(data.train))),
        profile=config.profile,
        program=program,
        feeds=[feed],
        learning_rates=np.asarray(schedule(np.arange(feed.last_step))),
        peak_flops=peak_flops(jax.local_devices()[0], config.train.dtype) * mesh.size,
        first_state=functools.partial(_first_state, program, config.train.seed, weights),
        describe=_describe,
        open_logs=functools.partial(open_logs, config, directory),
        finish=functools.partial(_keep_last, best, bool(data.files.dev)),
        evaluate=_evaluation(program, config.model.max_position_embeddings, data),
        selection=best,
    )
    return run, best


def _evaluate_every(fit: FitConfig, steps: int, rows: int) -> int:
    return max(1, min(steps, round(rows / fit.global_batch_size / fit.evaluations_per_epoch)))


def _first_state(program: Program, seed: int, weights: Mapping[str, np.ndarray]) -> State:
    state = init_state(program.model, program.optimizer, program.shardings, seed)
    return state | {"params": fill_in(state["params"], weights, program.shardings["params"])}


def _describe(feed: Any, step: int, owes_evaluation: bool, watch: MonitorState) -> dict[str, Any]:
    del feed
    return {
        "step": step,
        "owes_evaluation": owes_evaluation,
        "watch": dataclasses.asdict(watch),
        "versions": versions(),
    }


def _keep_last(best: BestStep, has_dev: bool, step: int, params: Params) -> None:
    """Without a dev file, or a score on it that is a number, the last step is the best."""
    if not has_dev or best.best.score is None:
        best.keep(step, None, params)


def _evaluation(program: Program, longest: int, data: FineTuningData) -> Any:
    """Run.evaluate: the task's scores on the dev file, beside its floors."""
    if data.dev is None:
        return lambda params, take: None
    task, rows, examples = data.files.task, data.dev, data.files.dev
    shardings = program.shardings["params"]
    forward = Forward(program.model, longest, program.mesh, shardings, per_token=task.reads_all_tokens)

    def evaluate(params: Params, take: Callable[[Iterable[Any]], Iterator[Any]]) -> dict[str, float]:
        with Progress("evaluating", len(examples)) as progress:
            watch = progress.of_examples(len(examples), len(rows))
            outputs = forward.outputs(params, rows, lambda batches: watch(take(batches)))
        if not is_complete(outputs):  # the run is to stop: it is evaluated again when it resumes
            return {}
        return scored(task, outputs, rows, examples) | best_floors(task, data.floors["dev"])

    return evaluate


def scored(task: Task, outputs: Sequence[np.ndarray], rows: Rows, examples: Sequence[Example]) -> dict[str, float]:
    """Scores with the thresholds that are best for these very examples: of a dev file only."""
    predictions = task.predictions(outputs, rows, examples)
    tuned = task.tuned(predictions, examples)
    return tuned.scores(tuned.predictions(outputs, rows, examples), examples)


def best_floors(task: Task, floors: Floors) -> dict[str, float]:
    """The best that a simple method reaches, by each metric's name of a baseline."""
    best: dict[str, float] = {}
    for metric in task.metrics:
        values = [scores[metric.name] for scores in floors.values() if metric.name in scores]
        if values and metric.baseline:
            best[metric.baseline] = max(values) if metric.better == "higher" else min(values)
    return best
