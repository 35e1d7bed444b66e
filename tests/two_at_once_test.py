"""The same command twice at once on one directory: the second stops at once with one line, and the first continues."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from etils import epath

from bert_jax.storage.lock import only_run
from tests.stopping import stopped

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.timeout(900)


def start(verb, *flags):
    command = [sys.executable, "-m", f"bert_jax.{verb}", *flags]
    pipes = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL}
    return subprocess.Popen(command, cwd=ROOT, text=True, **pipes)


def wait_for(path, process):
    # The holder's name is written once the lock is held: where there is none yet, the file is open but not locked.
    while not path.exists() or not path.stat().st_size:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.001)


def refused(process, directory, holder):
    _, stderr = process.communicate()
    assert process.returncode == 1, stderr
    assert stderr.splitlines()[-1] == (
        f"error: --output={directory} is being written by process {holder.pid} on {os.uname().nodename}; "
        "wait for it, or give another --output"
    )
    assert "Traceback" not in stderr


@pytest.mark.slow
def test_two_exports(finished_run, tmp_path):
    flags = [f"--workdir={finished_run}", "--format=numpy", f"--output={tmp_path}/out"]
    first = start("export", *flags)
    wait_for(tmp_path / ".out.lock", first)
    with stopped(first):
        refused(start("export", *flags), tmp_path / "out", first)
    _, stderr = first.communicate()
    assert first.returncode == 0, stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "params.npz").exists()


def test_two_vocabularies(chain, tmp_path):
    flags = [f"--input={chain.corpus}", f"--output={tmp_path}/vocab", "--vocab_size=800"]
    first = start("build_vocab", *flags)
    wait_for(tmp_path / ".vocab.lock", first)
    with stopped(first):
        refused(start("build_vocab", *flags), tmp_path / "vocab", first)
    _, stderr = first.communicate()
    assert first.returncode == 0, stderr
    assert [path.name for path in tmp_path.iterdir()] == ["vocab"]
    assert (tmp_path / "vocab" / "vocab.txt").read_bytes() == (chain.vocab / "vocab.txt").read_bytes()


@pytest.mark.parametrize("verb", [pytest.param("export", marks=pytest.mark.slow), "build_vocab"])
def test_many_at_once_leave_one_whole_output(finished_run, chain, tmp_path, verb):
    flags = {
        "export": [f"--workdir={finished_run}", "--format=numpy", f"--output={tmp_path}/out"],
        "build_vocab": [f"--input={chain.corpus}", f"--output={tmp_path}/out", "--vocab_size=800"],
    }[verb]
    started = [start(verb, *flags) for _ in range(4)]
    said = [process.communicate()[1] for process in started]
    assert any(process.returncode == 0 for process in started), said
    for process, stderr in zip(started, said, strict=True):
        assert "Traceback" not in stderr
        # Which process it is, the winner of a race may not have written yet.
        assert process.returncode == 0 or re.search(r"is being written by (another )?process", stderr.splitlines()[-1])
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_build_at_its_very_end(chain, tmp_path):
    """The manifest is written, and the parts are not deleted yet."""
    output = shutil.copytree(chain.records(32), tmp_path / "records")
    (output / ".parts").mkdir()
    flags = ["--max_seq_length=32", "--max_predictions_per_seq=6", "--dupe_factor=2", "--holdout=0.1"]
    command = ["build_records", f"--input={chain.corpus}", f"--vocab={chain.vocab}", f"--output={output}", *flags]
    with only_run(epath.Path(output)):
        done = chain.run(*command, check=False)
    assert done.returncode == 1
    assert f"{output} is being written by process {os.getpid()}" in done.stderr.splitlines()[-1]
    assert (output / ".parts").exists()
    assert "complete; nothing to do" in chain.run(*command).stderr
    assert not (output / ".parts").exists()
