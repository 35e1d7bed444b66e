"""The whole of a pretraining run, from top to bottom: the one long scroll of this project.

A checkpoint is {step, params, opt_state}. The order of the records, the dropout bits and the learning rate are
functions of (seed, step), so a run that was stopped anywhere goes on from its last checkpoint as if it never had been.
"""

import json

import jax
from absl import logging
from etils import epath

from bert_jax.checkpoint import Checkpoints
from bert_jax.config import Config
from bert_jax.goodput import STEPS, Clock
from bert_jax.parallel.mesh import make_mesh
from bert_jax.parallel.peak import peak_flops
from bert_jax.storage.whole_file import replace_text
from bert_jax.text.tokenizer import load_tokenizer
from bert_jax.training import inputs, workdir
from bert_jax.training.culprit import stop_at_bad_numbers
from bert_jax.training.description import Description, describe, newest_description, restore_description
from bert_jax.training.evaluation import evaluate, jit_evaluation_step
from bert_jax.training.interruption import Interruption
from bert_jax.training.program import make_program
from bert_jax.training.same_records import check_same_records, records_of
from bert_jax.training.samples import sample_predictions
from bert_jax.training.state import abstract_state, init_state, memory_line, param_count
from bert_jax.training.warm_start import read_weights, start_from
from bert_jax.training.watch import Report, Watch


def pretrain(config: Config, directory: epath.PathLike, report: Report | None = None) -> None:
    """Train to the end of the last phase, going on from the newest checkpoint in `directory` if there is one.

    `report(directory)` is called beside the training after each evaluation.

    Raises:
      UserError: config, records, mesh or directory do not fit together (said before a device computes anything), or
        too many steps in a row gave no numbers, or none of all gave any, or the disk is full.
      SystemExit: with processes.RESUME, after SIGTERM and a checkpoint; KeyboardInterrupt likewise after SIGINT.
    """
    directory = epath.Path(directory)
    is_main = jax.process_index() == 0

    # ---------------------------------------------------------------- everything that can be wrong, first
    config.check()
    config = config.resolved()
    phases = inputs.open_phases(config)
    manifest = phases[0].manifest
    config.model.vocab_size = manifest.vocab_size
    mesh = make_mesh(config.mesh)
    program = make_program(config, mesh)
    model, optimizer, shardings = program.model, program.optimizer, program.shardings
    first_weights = None
    if config.init_from and not workdir.has_checkpoint(directory):
        records_tokenizer = load_tokenizer(phases[0].train.directory / "tokenizer")
        first_weights = read_weights(config.init_from, config.init_moments, config.model, records_tokenizer)
    workdir.check_same_run(directory, config, manifest.vocab_fingerprint)
    records = [records_of(opened) for opened in phases]
    newest, may_differ = newest_description(directory), config.data.allow_other_records
    check_same_records(directory, newest.step, newest.records_of(phases), phases, records, may_differ)
    if is_main:
        workdir.claim(directory, config, phases[0].train.directory / "tokenizer", manifest.vocab_fingerprint)
    clock = Clock(directory if is_main else None)

    # ---------------------------------------------------------------- state: restored, or fresh
    cache = config.train.compilation_cache or str(directory / "compilation_cache")
    jax.config.update("jax_compilation_cache_dir", cache)
    checkpoints = Checkpoints(directory / "checkpoints", config.train.keep_checkpoints)
    step = checkpoints.latest_step() or 0
    clock.from_step(step)
    if step:
        state = checkpoints.restore(step, abstract_state(model, optimizer, shardings))
    else:
        state = init_state(model, optimizer, shardings, config.train.seed)
        state = start_from(first_weights, state, shardings) if first_weights else state
    before = restore_description(checkpoints, step) if step else Description()
    owes_evaluation = before.owes_evaluation

    # ---------------------------------------------------------------- what runs, and what watches
    device = jax.local_devices()[0]
    evaluation_step = jit_evaluation_step(model, mesh, shardings["params"], config.model.vocab_size)
    peak = peak_flops(device, config.train.dtype) * mesh.size
    watch = Watch(config, directory, step, peak, clock, report, before.watch)
    logging.info("%s", memory_line(state))

    def held_out(opened: inputs.PhaseInput) -> bool:
        """Evaluate and tell it; False if the run is to stop before that is done."""
        if not opened.validation:
            return True
        size, most = opened.phase.global_batch_size, config.evaluation.max_batches
        batches = inputs.held_out_batches(opened.validation, size, most, config.model.type_vocab_size, mesh)
        values = evaluate(evaluation_step, state["params"], interruption.until_reached(batches))
        if not interruption.is_reached:
            watch.held_out(step, values)
        return not interruption.is_reached

    # ---------------------------------------------------------------- train
    clock.turn(STEPS)
    with Interruption(mesh) as interruption, checkpoints, jax.set_mesh(mesh), watch:
        logging.info(
            "%s parameters on %d x %s, mesh %s; from step %d to %d",
            f"{param_count(model):,}",
            mesh.size,
            device.device_kind,
            dict(mesh.shape),
            step,
            config.total_steps,
        )
        for number, opened in enumerate(phases):
            watch.start_phase(number, opened)
            if owes_evaluation and opened.first_step < step <= opened.last_step:
                with watch.pause("evaluation"):
                    owes_evaluation = not held_out(opened)
                interruption.leave_if_reached(step)
            if step >= opened.last_step:
                continue
            for batch in watch.inputs(inputs.train_batches(opened, config, mesh, step)):
                with watch.dispatching(step + 1):
                    state, sums = program.run_step(state, batch)  # the device is not waited for here
                step += 1
                watch.add(step, sums)
                if config.train.check_nans:
                    watch.flush()
                    stop_at_bad_numbers(config, shardings["params"], step, state["params"], batch, sums)

                stops = interruption.reached()
                evaluates = step % config.evaluation.every_steps == 0 or step == config.total_steps
                saves = step == opened.last_step or step % config.train.checkpoint_every_steps == 0
                if evaluates or saves or stops:
                    watch.flush()
                if evaluates:
                    with watch.pause("evaluation"):
                        owes_evaluation = not held_out(opened)
                        stops = interruption.is_reached
                if saves or stops:  # after the evaluation, so that a run that goes on from here told all before it
                    with watch.pause("checkpoints"):
                        watch.settle()
                        seen = watch.state()
                        checkpoints.save(step, state, describe(config, opened, records, step, owes_evaluation, seen))
                if stops:
                    checkpoints.wait()
                    watch.end(step)
                    interruption.leave_if_reached(step)

    if interruption.reached():  # while the last checkpoint was being written
        interruption.leave_if_reached(step)

    # ---------------------------------------------------------------- what is left at the end
    watch.stop_if_nothing_counted(step)
    clock.turn("end")
    if phases[-1].validation:
        source, tokenizer = phases[-1].validation, load_tokenizer(phases[-1].train.directory / "tokenizer")
        samples = sample_predictions(
            model, state["params"], mesh, source, tokenizer, config.evaluation.report_sentences
        )
    if is_main and phases[-1].validation:
        replace_text(directory / "samples.json", json.dumps(samples, ensure_ascii=False, indent=1))
    watch.end(step)
    logging.info("trained to step %d; checkpoints are in %s", step, checkpoints.directory)
