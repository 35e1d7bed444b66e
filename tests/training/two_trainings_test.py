"""Two trainings on one workdir: the second stops at once with one line, and the first ends as it would have."""

import os

import pytest

from tests.stopping import stopped

pytestmark = pytest.mark.timeout(900)


def contents(directory):
    return {path: path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


def test_a_second_training_touches_nothing_and_the_first_ends_as_it_would_have(long_run, tmp_path):
    workdir = tmp_path / "run"
    first = long_run.start(workdir)
    long_run.wait_for_write(workdir, first)
    with stopped(first):  # perhaps with a checkpoint half-written, which looks torn
        before = contents(workdir)
        second = long_run.finish(workdir, check=False)
        assert contents(workdir) == before
    assert second.returncode == 1
    assert second.stderr.splitlines()[-1] == (
        f"error: --workdir={workdir} is being written by process {first.pid} on {os.uname().nodename}; "
        "wait for it, or give another --workdir"
    )
    assert "Traceback" not in second.stderr
    _, stderr = first.communicate()
    assert first.returncode == 0, stderr
    assert not list(workdir.glob("*lock*"))
    assert not (workdir / "checkpoints.set_aside").exists()
    long_run.check(workdir)


@pytest.mark.slow
def test_a_training_that_is_killed_or_refused_lets_go(long_run, chain, tmp_path):
    workdir = tmp_path / "a" / "run"
    done = chain.pretrain(workdir, "--config.model.vocab_size=999", check=False)
    assert done.returncode == 1
    assert list(tmp_path.iterdir()) == []
    first = long_run.start(workdir)
    first.kill()
    first.communicate()
    assert (workdir / ".lock").exists()  # but nobody holds it
    long_run.finish(workdir)
    long_run.check(workdir)
