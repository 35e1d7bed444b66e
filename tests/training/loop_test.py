"""A run that is killed resumes as if nothing had happened: real processes, real SIGKILLs, bitwise equal parameters."""

import random
import signal
import time

import pytest

pytestmark = pytest.mark.timeout(900)


def kill(process):
    """SIGKILL the process, if it still runs; whether it did."""
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


def kill_at_a_random_moment(long_run, workdir, moments):
    """Soon after the training has begun, after one of its steps, or while a checkpoint is being written."""
    process = long_run.start(workdir)
    if moments.random() < 0.5:
        step = moments.randrange(0, 55, 5)  # by the log, and not by a clock: a quick machine is done in a few seconds
        if step:
            any(f"step {step}/" in line for line in process.stderr)
        time.sleep(moments.uniform(0.0, 0.3))
    else:
        for _ in range(moments.randrange(1, 4)):
            long_run.wait_for_write(workdir, process)
        time.sleep(moments.uniform(0.0, 0.05))
    return kill(process)


def test_a_killed_run_ends_with_the_parameters_of_one_never_interrupted(long_run, tmp_path):
    moments = random.Random(1)
    assert sum(kill_at_a_random_moment(long_run, tmp_path, moments) for _ in range(3)) > 0
    long_run.finish(tmp_path)
    long_run.check(tmp_path)


@pytest.mark.slow
def test_a_kill_in_the_middle_of_a_checkpoint_leaves_a_torn_one_that_is_named(long_run, tmp_path):
    torn = []
    while not torn:  # a write takes some hundredths of a second: a kill may come too late
        process = long_run.start(tmp_path)
        long_run.wait_for_write(tmp_path, process)
        assert kill(process), "the run has ended before a kill met it"
        torn = [path for path in (tmp_path / "checkpoints").iterdir() if not path.name.isdigit()]
    done = long_run.finish(tmp_path)
    assert f"{torn[0].name} was not written to its end" in done.stderr
    assert f"set aside as {tmp_path}/checkpoints.set_aside/{torn[0].name.split('.')[0]}.torn" in done.stderr
    long_run.check(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [1500])
def test_a_full_disk_stops_the_run_and_with_space_it_goes_on(long_run, small_disk, kilobytes):
    """A checkpoint of this run takes some 600 kB: one fits beside the rest, a second one does not."""
    disk = small_disk(kilobytes)
    done = long_run.finish(disk / "train", check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: no space left on the disk of ")
    assert "Traceback" not in done.stderr
    whole = [path.name for path in (disk / "train" / "checkpoints").iterdir() if path.name.isdigit()]
    assert whole, "no checkpoint was written before the disk was full"
    small_disk(64_000, disk)
    again = long_run.finish(disk / "train")
    assert f"from step {max(map(int, whole))} to" in again.stderr
    long_run.check(disk / "train")


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(10))
def test_many_kills_at_random_moments(long_run, tmp_path, seed):
    moments = random.Random(100 + seed)
    assert sum(kill_at_a_random_moment(long_run, tmp_path, moments) for _ in range(5)) > 0
    long_run.finish(tmp_path)
    long_run.check(tmp_path)
