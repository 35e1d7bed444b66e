"""Checkpoints that cannot be written, in processes of their own: one line, and the process is gone."""

import ctypes
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.jobs import job_flags

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.timeout(900)
# After a process has said what is wrong. Orbax's threads would hold it for five minutes, or twenty.
GONE_WITHIN_SECONDS = 200
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2  # of linux/prctl.h and linux/capability.h

SAVE = """
import os, sys
import jax, numpy as np
from absl import flags
from bert_jax import cli
from bert_jax.workdir.checkpoints import Checkpoints

_DIRECTORY = flags.DEFINE_string("directory", None, "")
_CLOSES_AFTER = flags.DEFINE_integer("closes_after", 0, "")

def main(argv):
    with Checkpoints(_DIRECTORY.value, keep=10) as checkpoints:
        for step in range(1, 6):
            state = {"params": {str(n): np.full((64, 8), step, np.float32) for n in range(4)}}
            checkpoints.save(step, jax.device_put(state), {"step": step})
            if step == _CLOSES_AFTER.value:
                checkpoints.wait()
                os.chmod(_DIRECTORY.value, 0o555)

cli.run(main)
"""


def start(*command, heeds_permissions=False, **environment):
    return subprocess.Popen(
        [sys.executable, *command],
        env=os.environ | environment,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_permissions if heeds_permissions else None,
    )


def said(process):
    """What a process says until it has ended, soon after its one error if it has one."""
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith("error: "):
            break
    rest = process.communicate(timeout=GONE_WITHIN_SECONDS)[1]
    assert "Traceback" not in "".join(lines) + rest
    return [line.rstrip() for line in lines] + rest.splitlines()


def save(directory, *flags, **options):
    """What five checkpoints say that are saved in a process; and its exit code."""
    process = start("-c", SAVE, f"--directory={directory}", *flags, **options)
    return said(process), process.returncode


def assert_one_line(done, *words):
    lines, code = done
    assert code == 1
    assert len(lines) == 1, lines
    for word in ("error: ", *words):
        assert word in lines[0]


def checkpoints_in(directory):
    return sorted(path.name for path in directory.iterdir())


def heed_permissions():
    """In a process before it begins: root passes over permissions by these two capabilities."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


@pytest.mark.parametrize("after", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_a_directory_that_may_not_be_written(tmp_path, after):
    directory = tmp_path / "checkpoints"
    done = save(directory, f"--closes_after={after}", heeds_permissions=True)
    assert_one_line(done, f"{directory} cannot be written (Permission denied)", "fix that and run the same command")
    assert checkpoints_in(directory) == [str(step) for step in range(1, after + 1)]
    directory.chmod(0o755)
    assert save(directory, heeds_permissions=True) == ([], 0)
    assert checkpoints_in(directory) == ["1", "2", "3", "4", "5"]


@pytest.mark.slow
def test_a_training_whose_directory_of_checkpoints_may_not_be_written(chain, finished_run, tmp_path):
    workdir = shutil.copytree(finished_run, tmp_path / "run")
    shutil.rmtree(workdir / "checkpoints" / "20")
    (workdir / "checkpoints").chmod(0o555)
    command = ["-m", "bert_jax.pretrain", *chain.pretrain_flags(workdir)]
    process = start(*command, heeds_permissions=True, **chain.environment)
    lines = said(process)
    assert process.returncode == 1
    assert any("from step 10 to 20" in line for line in lines)
    assert lines[-1].startswith(f"error: {workdir}/checkpoints cannot be written (Permission denied)")
    (workdir / "checkpoints").chmod(0o755)
    assert "trained to step 20" in chain.pretrain(workdir).stderr


# One checkpoint has about 30 files and directories: it is now this one, now that, for which there is no inode.
SLOW = [pytest.param(inodes, marks=pytest.mark.slow) for inodes in (40, 42, 50, 60)]


@pytest.mark.parametrize("inodes", [45, *SLOW])
def test_a_disk_without_inodes(small_disk, inodes):
    disk = small_disk(100_000, inodes=inodes)
    assert_one_line(save(disk / "checkpoints"), f"no space left on the disk of {disk}/checkpoints", "run the same")
    assert "1" in checkpoints_in(disk / "checkpoints")
    moved = shutil.copytree(disk / "checkpoints", disk.parent / "with space")
    assert save(moved)[1] == 0
    assert checkpoints_in(moved) == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize(
    "kilobytes", [pytest.param(100, marks=pytest.mark.slow), 128, pytest.param(160, marks=pytest.mark.slow)]
)
def test_a_full_disk(small_disk, kilobytes):
    disk = small_disk(kilobytes)
    assert_one_line(save(disk / "checkpoints"), f"no space left on the disk of {disk}/checkpoints")


@pytest.mark.slow
def test_a_job_of_two_processes_on_a_disk_without_inodes(chain, small_disk):
    """One of them fails in the middle of a checkpoint, and the other one waits for it."""
    disk = small_disk(100_000, inodes=130)
    often = ["--config.train.checkpoint_every_steps=2", "--config.train.keep_checkpoints=9"]
    first, second = (chain.start_pretrain(disk / "run", *often, *own) for own in job_flags(2))
    with ThreadPoolExecutor() as pool:
        pool.submit(second.communicate)
        lines = said(first)
    assert first.returncode == 1
    assert "no space left on the disk of " in lines[-1]
    assert second.returncode != 0
