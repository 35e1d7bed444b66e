"""The whole of a pretraining run, from top to bottom: the one long scroll of this project.

A checkpoint is {step, params, opt_state}. The order of the records, the dropout bits and the learning rate are
functions of (seed, step), so a run that was stopped anywhere goes on from its last checkpoint as if it never had been.
"""

import json
import math
import platform
from typing import Any

import jax
from absl import logging
from etils import epath

import bert_jax
from bert_jax.checkpoint import Checkpoints
from bert_jax.config import Config
from bert_jax.config_file import to_json
from bert_jax.errors import UserError
from bert_jax.model.flops import train_flops_per_sequence
from bert_jax.parallel.mesh import make_mesh
from bert_jax.parallel.peak import peak_flops
from bert_jax.text.tokenizer import load_tokenizer
from bert_jax.training import inputs, workdir
from bert_jax.training.evaluation import evaluate, jit_evaluation_step
from bert_jax.training.meter import Meter
from bert_jax.training.optimizer import learning_rate_schedule
from bert_jax.training.program import make_program
from bert_jax.training.samples import sample_predictions
from bert_jax.training.state import abstract_state, init_state, param_count
from bert_jax.training.telemetry import MetricsLog, Progress
from bert_jax.training.warm_start import read_weights, start_from
from bert_jax.whole_file import replace_text


def pretrain(config: Config, directory: epath.PathLike) -> None:
    """Train to the end of the last phase, going on from the newest checkpoint in `directory` if there is one.

    Raises:
      UserError: config, records, mesh or directory do not fit together (said before a device computes anything), or
        the loss is no longer a number, or the disk is full.
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
        first_weights = read_weights(config.init_from, config.init_moments, config.model, manifest.vocab_fingerprint)
    if is_main:
        workdir.claim(directory, config, phases[0].train.directory / "tokenizer", manifest.vocab_fingerprint)

    # ---------------------------------------------------------------- state: restored, or fresh
    cache = config.train.compilation_cache or str(directory / "compilation_cache")
    jax.config.update("jax_compilation_cache_dir", cache)
    checkpoints = Checkpoints(directory / "checkpoints", config.train.keep_checkpoints)
    step = checkpoints.latest_step() or 0
    if step:
        state = checkpoints.restore(step, abstract_state(model, optimizer, shardings))
    else:
        state = init_state(model, optimizer, shardings, config.train.seed)
        state = start_from(first_weights, state, shardings) if first_weights else state

    # ---------------------------------------------------------------- what runs, and what watches
    device = jax.local_devices()[0]
    evaluation_step = jit_evaluation_step(model, mesh, shardings["params"], config.model.vocab_size)
    schedule = learning_rate_schedule(config.optimizer, config.phases)
    meter = Meter(peak_flops(device, config.train.dtype) * mesh.size)
    log = MetricsLog(directory, step) if is_main else None
    logging.info(
        "%s parameters on %d x %s, mesh %s; from step %d to %d",
        f"{param_count(model):,}",
        mesh.size,
        device.device_kind,
        dict(mesh.shape),
        step,
        config.total_steps,
    )
    progress = Progress(config.total_steps, step)

    def tell(split: str, at_step: int, phase_number: int, values: dict[str, float]) -> None:
        if log:
            log.write(split, at_step, {"phase": phase_number} | values)

    def tell_interval(phase_number: int, finished: tuple[int, dict[str, float]] | None) -> None:
        if finished:
            at_step, values = finished
            values["learning_rate"] = float(schedule(at_step - 1))
            progress.update(at_step, values)
            tell("train", at_step, phase_number, values)
            _check_finite(at_step, values["loss"])

    # ---------------------------------------------------------------- train
    with checkpoints, jax.set_mesh(mesh):
        for number, opened in enumerate(phases):
            if step >= opened.last_step:
                continue
            meter.start_phase(*_step_size(config, opened))
            for batch in inputs.train_batches(opened, config, mesh, step):
                state, sums = program.run_step(state, batch)  # only dispatched: the device is never waited for here
                step += 1
                phase_ends = step == opened.last_step
                closes = phase_ends or step % config.train.log_every_steps == 0
                tell_interval(number, meter.add(step, sums, closes))
                progress.update(step)

                evaluates = step % config.evaluation.every_steps == 0 or step == config.total_steps
                saves = phase_ends or step % config.train.checkpoint_every_steps == 0
                if evaluates or saves:
                    tell_interval(number, meter.flush())
                if evaluates and opened.validation:
                    size, most = opened.phase.global_batch_size, config.evaluation.max_batches
                    held_out = inputs.held_out_batches(opened.validation, size, most, mesh)
                    values = evaluate(evaluation_step, state["params"], held_out)
                    tell("validation", step, number, values)
                    progress.message(_held_out_line(step, values))
                if saves:  # after the evaluation, so that a run that goes on from here has told everything before it
                    checkpoints.save(step, state, _description(config, opened, step))
                if evaluates or saves:
                    meter.pause()

    # ---------------------------------------------------------------- what is left at the end
    progress.close()
    if log:
        log.close()
    if phases[-1].validation:
        source, tokenizer = phases[-1].validation, load_tokenizer(phases[-1].train.directory / "tokenizer")
        samples = sample_predictions(
            model, state["params"], mesh, source, tokenizer, config.evaluation.report_sentences
        )
    if is_main and phases[-1].validation:
        replace_text(directory / "samples.json", json.dumps(samples, ensure_ascii=False, indent=1))
    logging.info("trained to step %d; checkpoints are in %s", step, checkpoints.directory)


def _step_size(config: Config, opened: inputs.PhaseInput) -> tuple[int, int]:
    """Tokens and FLOPs of one step of a phase."""
    phase, manifest = opened.phase, opened.manifest
    flops = train_flops_per_sequence(config.model, phase.max_seq_length, manifest.max_predictions_per_seq)
    return phase.global_batch_size * phase.max_seq_length, phase.global_batch_size * flops


def _check_finite(step: int, loss: float) -> None:
    if not math.isfinite(loss):
        raise UserError(
            f"the loss is {loss} at step {step}; lower --config.optimizer.learning_rate or lengthen warmup_steps in a "
            "new --workdir (the checkpoints before this step stay)"
        )


def _held_out_line(step: int, values: dict[str, float]) -> str:
    return (
        f"held-out at step {step}:  mlm_loss {values['masked_lm_loss']:.3f} (unigram {values['unigram_loss']:.3f})  "
        f"mlm_acc {values['masked_lm_accuracy']:.3f} (unigram {values['unigram_accuracy']:.3f})  "
        f"nsp_loss {values['next_sentence_loss']:.3f} (majority {values['majority_next_sentence_loss']:.3f})  "
        f"nsp_acc {values['next_sentence_accuracy']:.3f} (majority {values['majority_next_sentence_accuracy']:.3f})"
    )


def _description(config: Config, opened: inputs.PhaseInput, step: int) -> dict[str, Any]:
    """What lies beside a checkpoint's arrays: enough to use them without anything else."""
    return {
        "step": step,
        "config": json.loads(to_json(config)),
        "vocab_fingerprint": opened.manifest.vocab_fingerprint,
        "data": {"inputs": opened.manifest.inputs, "options": opened.manifest.options},
        "versions": {
            "bert_jax": bert_jax.__version__,
            "jax": jax.__version__,
            "python": platform.python_version(),
        },
    }
