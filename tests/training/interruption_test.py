"""Runs that are asked to stop, by real signals to real processes: a checkpoint, a code, and the same end."""

import random
import signal
import time

import pytest

from bert_jax.parallel.processes import RESUME
from tests.jobs import job_flags

pytestmark = pytest.mark.timeout(900)
FAR = "--config.train.checkpoint_every_steps=1000"  # no checkpoint but the one that a signal brings


def interrupt(process, *signals, pause=0.02):
    """Send the signals one after the other; returncode and what was said."""
    for number in signals:
        process.send_signal(number)
        time.sleep(pause)
    _, stderr = process.communicate()
    return process.returncode, stderr


def saved_steps(workdir):
    return sorted(int(path.name) for path in (workdir / "checkpoints").iterdir())


@pytest.mark.parametrize(
    "signals",
    [pytest.param([signal.SIGTERM], id="once"), pytest.param([signal.SIGTERM] * 3, id="again", marks=pytest.mark.slow)],
)
def test_sigterm_saves_the_step_in_flight_and_the_exit_code_is_resume(long_run, tmp_path, signals):
    code, stderr = interrupt(long_run.start(tmp_path, FAR), *signals)
    assert code == RESUME == 75, stderr
    (step,) = saved_steps(tmp_path)
    assert 0 < step < long_run.steps
    assert f"SIGTERM: step {step} is saved; exit code 75" in stderr
    assert "Traceback" not in stderr
    done = long_run.finish(tmp_path, FAR)
    assert f"from step {step} to {long_run.steps}" in done.stderr
    assert "in 2 starts" in done.stderr
    long_run.check(tmp_path)


@pytest.mark.slow
def test_ctrl_c_saves_too_and_is_logged_as_ctrl_c(long_run, tmp_path):
    code, stderr = interrupt(long_run.start(tmp_path, FAR), signal.SIGINT)
    assert code == 130, stderr
    assert stderr.endswith("error: interrupted; run the same command again to resume\n")
    (step,) = saved_steps(tmp_path)
    assert f"SIGINT: step {step} is saved" in stderr
    long_run.finish(tmp_path)
    long_run.check(tmp_path)


@pytest.mark.slow
def test_ctrl_c_after_sigterm_changes_nothing(long_run, tmp_path):
    code, stderr = interrupt(long_run.start(tmp_path, FAR), signal.SIGTERM, signal.SIGINT)
    assert code == RESUME, stderr
    assert "SIGINT: already stopping after this step" in stderr
    assert len(saved_steps(tmp_path)) == 1


def stop_at_a_random_moment(long_run, workdir, moments):
    process = long_run.start(workdir)
    if moments.random() < 0.4:
        long_run.wait_for_write(workdir, process)
    time.sleep(moments.uniform(0.0, 3.0))
    signals = [moments.choice([signal.SIGTERM, signal.SIGINT]) for _ in range(moments.randrange(1, 4))]
    code, stderr = interrupt(process, *signals, pause=moments.uniform(0.0, 0.2))
    # Ctrl-C twice ends a process where it is; a signal after the training ends it as signals do.
    assert code in (0, RESUME, 130, -signal.SIGTERM, -signal.SIGINT), stderr


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(5))
def test_many_signals_at_random_moments(long_run, tmp_path, seed):
    moments = random.Random(seed)
    for _ in range(4):
        stop_at_a_random_moment(long_run, tmp_path, moments)
    long_run.finish(tmp_path)
    long_run.check(tmp_path)


@pytest.mark.slow
def test_one_process_of_two_gets_the_signal_and_both_save_the_same_step(long_run, tmp_path):
    start = long_run.chain.start_pretrain
    steps = "--config.phases[0].steps=100000"
    first, second = (start(tmp_path, *long_run.options, FAR, steps, *own) for own in job_flags(2))
    for line in first.stderr:
        if "step 20/" in line:
            break
    second.send_signal(signal.SIGTERM)
    (_, first_log), (_, second_log) = first.communicate(), second.communicate()
    assert (first.returncode, second.returncode) == (RESUME, RESUME), first_log + second_log
    (step,) = saved_steps(tmp_path)
    assert f"SIGTERM: step {step} is saved" in first_log  # by the one that did not get it; the first process logs
