"""The whole of a run, from its first or newest state to its end: the one long function of this project.

A checkpoint is {step, params, opt_state}. The order of the records, the dropout bits and the learning rate are
functions of (seed, step), so a run that was stopped anywhere resumes from its last checkpoint as if it never had been.
"""

import jax
from absl import logging

from bert_jax.model.functional import param_count
from bert_jax.training.description import Description, restore_description
from bert_jax.training.held_out import HeldOut
from bert_jax.training.interruption import Interruption
from bert_jax.training.monitor import Monitor
from bert_jax.training.nonfinite import stop_if_nonfinite
from bert_jax.training.report_thread import Report
from bert_jax.training.run import Run
from bert_jax.training.state import abstract_state, memory_line
from bert_jax.workdir.checkpoints import Checkpoints
from bert_jax.workdir.goodput import STEPS, Clock, first_step


def train(run: Run, clock: Clock, report: Report | None = None) -> None:
    """Train to the end of the last feed, resuming from the newest checkpoint in the run's directory if there is one.

    `report(directory)` is called beside the training after each evaluation.

    Raises:
      UserError: too many steps in a row were skipped, or all of them, or the disk is full.
      SystemExit: with processes.RESUME, after SIGTERM and a checkpoint; KeyboardInterrupt likewise after SIGINT.
    """
    program = run.program

    # ---------------------------------------------------------------- state: restored, or fresh
    cache = run.train.compilation_cache or str(run.directory / "compilation_cache")
    jax.config.update("jax_compilation_cache_dir", cache)
    checkpoints = Checkpoints(run.directory / "checkpoints", run.train.keep_checkpoints, always=run.always_kept)
    step = checkpoints.latest_step() or 0
    clock.from_step(step)
    if step:
        state = checkpoints.restore(step, abstract_state(program.model, program.optimizer, program.shardings))
    else:
        state = run.first_state()
    before = restore_description(checkpoints, step) if step else Description()

    # ---------------------------------------------------------------- what runs, and what looks at it
    monitor = Monitor(run, step, clock, run.open_logs(step), report, before.watch)
    interruption = Interruption(program.mesh)
    held_out = HeldOut(run, monitor, interruption, before.owes_evaluation)
    for line in (memory_line(state), *program.layout):
        logging.info("%s", line)

    # ---------------------------------------------------------------- train
    clock.turn(STEPS)
    with interruption, checkpoints, jax.set_mesh(program.mesh), monitor:
        logging.info(
            "%s parameters on %d x %s, mesh %s; from step %d to %d",
            f"{param_count(program.model):,}",
            program.mesh.size,
            jax.local_devices()[0].device_kind,
            dict(program.mesh.shape),
            step,
            run.total_steps,
        )
        for number, feed in enumerate(run.feeds):
            monitor.start_feed(number, feed)
            if held_out.is_owed and feed.first_step < step <= feed.last_step:
                held_out.evaluate(step, state["params"], feed)
                interruption.leave_if_requested(step)
            if step >= feed.last_step or held_out.should_stop(step):
                continue
            program = program.accumulating(feed.accumulation_steps)
            for batch in monitor.inputs(feed.batches(program.mesh, step)):
                with monitor.dispatching(step + 1):
                    state, sums = program.run_step(state, batch, *program.frozen_params)  # no device is waited for
                step += 1
                monitor.add(step, sums)
                stops = interruption.agree()
                evaluates = held_out.is_due(step)
                saves = step in (feed.last_step, *run.always_kept) or step % run.train.checkpoint_every_steps == 0
                if evaluates or saves or stops or run.train.check_nans:
                    monitor.flush()
                if run.train.check_nans:
                    stop_if_nonfinite(program, step, state["params"], batch, sums)
                monitor.skipped.stop_if_too_many()
                if evaluates:
                    held_out.evaluate(step, state["params"], feed)
                    stops = interruption.is_requested
                stops_early = held_out.should_stop(step)
                # After the evaluation: who resumes from here has logged all before it.
                if saves or stops or stops_early:
                    with monitor.pause("checkpoints"):
                        monitor.flush_logs()
                        description = run.describe(feed, step, held_out.is_owed, monitor.state())
                        checkpoints.save(step, state, description)
                if stops:
                    checkpoints.wait()
                    monitor.end(step)
                    interruption.leave_if_requested(step)
                if stops_early:
                    break

    if interruption.agree():  # while the last checkpoint was being written
        interruption.leave_if_requested(step)

    # ---------------------------------------------------------------- what is left at the end
    monitor.skipped.stop_if_all(first_step(run.directory, clock), step)
    clock.turn("end")
    run.finish(int(state["step"]), state["params"])
    monitor.end(step)
    logging.info("trained to step %d; checkpoints are in %s", step, checkpoints.directory)
