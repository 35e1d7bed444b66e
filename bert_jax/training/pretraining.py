"""A pretraining run: its records, first weights and directory checked and set up, then trained (loop.py)."""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import numpy as np
from absl import logging
from etils import epath
from jax.sharding import Mesh

from bert_jax.config import Config, ModelConfig, without_peak
from bert_jax.config.schedule_changes import decays_after
from bert_jax.model.functional import Params, path_of
from bert_jax.objectives.distillation import DistillationObjective, is_position
from bert_jax.objectives.pretraining import PretrainingObjective
from bert_jax.parallel.mesh import by_sequence, check_heads, make_mesh
from bert_jax.parallel.peak import peak_flops
from bert_jax.parallel.shared_directory import check_is_shared
from bert_jax.storage.json_file import write_json
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.text.tokenizer import Tokenizer
from bert_jax.training.branch import ParentCheckpoint, copy_checkpoint, find_parent, read_parent_state
from bert_jax.training.description import Description, describe, description_at, newest_description
from bert_jax.training.frozen import FrozenModel, frozen_teacher
from bert_jax.training.logs import open_logs
from bert_jax.training.loop import train
from bert_jax.training.open_phases import open_phases, with_records
from bert_jax.training.optimizer import learning_rate_schedule
from bert_jax.training.phase_input import PhaseInput
from bert_jax.training.program import Program, make_program
from bert_jax.training.report_thread import Report
from bert_jax.training.run import Run
from bert_jax.training.same_records import PhaseRecords, check_same_records, records_of
from bert_jax.training.samples import sample_predictions
from bert_jax.training.state import State, init_state
from bert_jax.training.teacher import Teacher, check_same_teacher, keep_teacher, read_teacher, student_weights
from bert_jax.training.warm_start import FirstWeights, read_weights, start_from
from bert_jax.workdir import run_directory
from bert_jax.workdir.goodput import Clock


def pretrain(config: Config, directory: epath.PathLike, report: Report | None = None) -> None:
    """Train to the end of the last phase, resuming from the newest checkpoint in `directory` if there is one.

    `report(directory)` is called beside the training after each evaluation.

    Raises:
      UserError: config, records, mesh or directory do not fit together (before a device computes anything), or as
        loop.train does.
      SystemExit, KeyboardInterrupt: as loop.train does.
    """
    directory = epath.Path(directory)
    run_directory.check_name(directory)
    config.check()
    config = run_directory.with_rows_of(directory, config.resolved())
    config.profile.check_is_in(config.total_steps)
    for line in [*without_peak(config.optimizer, config.phases), *config.without_effect()]:
        logging.warning("%s", line)
    load = functools.cache(load_tokenizer)  # seconds, of a large vocabulary
    phases = open_phases(config, load)
    config = with_records(config, phases)
    tokenizer = load(phases[0].train.directory / "tokenizer")
    teacher = read_teacher(config, tokenizer) if config.teacher else None
    program = pretraining_program(
        config, make_mesh(config.mesh, model=config.model), teacher.config if teacher else None
    )
    first_weights = _first_weights(config, directory, tokenizer, teacher)
    parent = _parent(config, directory, tokenizer)
    newest = description_at(parent.workdir, parent.step) if parent else newest_description(directory)
    records = _check(config, directory, phases, teacher, parent, newest)
    phases = newest.as_begun(phases)
    restored = read_parent_state(parent, program) if parent else None
    _claim(config, directory, tokenizer, teacher)
    check_is_shared(directory)
    if parent and restored:
        copy_checkpoint(parent, restored, directory)
    for phase in phases:
        phase.count_tokens()
    if teacher:
        program = program.with_frozen_weights(teacher.arrays)
    clock = Clock(directory if jax.process_index() == 0 else None)
    train(_run(config, directory, phases, records, program, first_weights, tokenizer.tokens), clock, report)


def _first_weights(
    config: Config, directory: epath.Path, tokenizer: Tokenizer, teacher: Teacher | None
) -> FirstWeights | None:
    """Those of init_from or of the teacher's layers, if the run begins with them."""
    if run_directory.has_checkpoint(directory):
        return None
    if config.init_from:
        return read_weights(config.init_from, config.init_moments, config.model, tokenizer)
    return student_weights(teacher, config) if teacher and config.distillation.init_layers else None


def _parent(config: Config, directory: epath.Path, tokenizer: Tokenizer) -> ParentCheckpoint | None:
    """What the run branches from, if it is a branch that has no checkpoint of its own yet."""
    if not config.branch_from or run_directory.has_checkpoint(directory):
        return None
    return find_parent(config, tokenizer.fingerprint)


def _check(
    config: Config,
    directory: epath.Path,
    phases: Sequence[PhaseInput],
    teacher: Teacher | None,
    parent: ParentCheckpoint | None,
    newest: Description,
) -> list[PhaseRecords]:
    """See that `directory` is nobody's, or this run's with the same records and teacher as it has, or as its parent.

    Gives what the records are. `newest` is of the checkpoint that it resumes from.
    """
    run_directory.check_same_run(directory, config, phases[0].manifest.vocab_fingerprint)
    before = parent.workdir if parent else directory
    check_same_teacher(before, teacher)
    records = [records_of(opened) for opened in phases]
    may_differ = config.data.allow_other_records
    check_same_records(before, newest.step, newest.records_of(phases), phases, records, may_differ)
    return records


def _claim(config: Config, directory: epath.Path, tokenizer: Tokenizer, teacher: Teacher | None) -> None:
    """Make `directory` this run's."""
    if jax.process_index() == 0:
        if teacher:
            keep_teacher(directory, teacher)
        run_directory.claim(directory, config, tokenizer)


def _run(
    config: Config,
    directory: epath.Path,
    phases: Sequence[PhaseInput],
    records: Sequence[PhaseRecords],
    program: Program,
    first_weights: FirstWeights | None,
    tokens: Sequence[str],
) -> Run:
    """What the loop is given."""
    schedule = learning_rate_schedule(config.optimizer, config.phases)
    return Run(
        directory=directory,
        train=config.train,
        evaluation=config.evaluation,
        profile=config.profile,
        program=program,
        feeds=phases,
        # All at once, now: a device that is asked for one while a step runs on it answers after the step.
        learning_rates=np.asarray(schedule(np.arange(config.total_steps))),
        peak_flops=peak_flops(jax.local_devices()[0], config.train.dtype) * program.mesh.size,
        first_state=functools.partial(_first_state, program, config.train.seed, first_weights),
        describe=functools.partial(describe, config, records),
        open_logs=functools.partial(open_logs, config, directory),
        finish=functools.partial(_write_samples, config, program, phases[-1], tokens, directory),
        always_kept=decays_after(config),
    )


def pretraining_objective(config: Config, teacher: ModelConfig | None) -> PretrainingObjective | DistillationObjective:
    """What the run of a resolved config minimises, with a teacher of this architecture or none."""
    alone = PretrainingObjective(config.model, config.data.pairs)
    return DistillationObjective(alone, teacher, config.distillation) if teacher else alone


def pretraining_program(config: Config, mesh: Mesh, teacher: ModelConfig | None = None) -> Program:
    """What the run of a resolved config computes, whose vocab_size is known; `plan` compiles the same.

    `teacher` is the architecture of the run's teacher, if it has one, whose weights are not there yet.

    Raises:
      UserError: a batch, a parameter or the attention heads do not divide over the mesh.
    """
    check_heads(mesh, config.model.num_attention_heads)
    objective = pretraining_objective(config, teacher)
    frozen: tuple[FrozenModel, ...] = ()
    if isinstance(objective, DistillationObjective):
        frozen = (frozen_teacher(objective, config.train.dtype, mesh, config.optimizer.shard_over_data),)
    by_each = _frozen_positions if frozen and config.distillation.freeze_positions else None
    return make_program(objective, config.train, config.optimizer, config.phases, mesh, by_each, frozen)


def _frozen_positions(params: Params) -> Params:
    """What learning rates are multiplied by: without a gradient, weight decay would still change the table."""
    return jax.tree_util.tree_map_with_path(lambda entries, _: 0.0 if is_position(path_of(entries)) else 1.0, params)


def _first_state(program: Program, seed: int, first_weights: FirstWeights | None) -> State:
    state = init_state(program.model, program.optimizer, program.shardings, seed)
    return start_from(first_weights, state, program.shardings) if first_weights else state


def _write_samples(
    config: Config,
    program: Program,
    phase: PhaseInput,
    tokens: Sequence[str],
    directory: epath.Path,
    step: int,
    params: Params,
) -> None:
    """A few held-out sentences with the model's predictions, for the report."""
    del step
    if not phase.validation:
        return
    if config.teacher:  # a student's model gives more than logits
        objective = PretrainingObjective(config.model, config.data.pairs)
        model = objective.model(config.train.dtype, by_sequence=by_sequence(program.mesh))
        program = dataclasses.replace(program, objective=objective, model=model)
    number = config.evaluation.report_sentences
    # Every process takes part in computing them.
    shown = phase.validation, tokens, phase.manifest.pairs, number, phase.held_out_masks
    samples = sample_predictions(program, params, *shown)
    if jax.process_index() == 0:
        write_json(directory / "samples.json", samples)
