"""What may happen to a build: killed at any moment, a full disk, a second run. The records are those of a quiet run."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from pydoc_data.topics import topics

import pytest

from tests.stopping import stopped

FLAGS = {
    "max_seq_length": 64,
    "max_predictions_per_seq": 10,
    "dupe_factor": 4,
    "num_parts": 6,
    "holdout": 0.05,
    "num_workers": 2,
}


def contents(directory):
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


class Build:
    """One build_records command, for any output directory."""

    def __init__(self, directory, vocab):
        # A paragraph a line and --split_sentences, so that cutting the text takes a moment in which to be killed.
        paragraphs = (re.sub(r"\s*\n\s*\n\s*", "\0", topic).replace("\n", " ") for topic in topics.values())
        text = "\n\n".join(paragraph.replace("\0", "\n").strip() for paragraph in paragraphs)
        (directory / "text.txt").write_text(text + "\n", encoding="utf-8")
        flags = {**FLAGS, "input": directory / "text.txt", "vocab": vocab}
        self.command = [sys.executable, "-m", "bert_jax.build_records", "--split_sentences"]
        self.command += [f"--{name}={value}" for name, value in flags.items()]

    def start(self, output, *flags):
        return subprocess.Popen(
            [*self.command, f"--output={output}", *flags], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )

    def run(self, output, *flags):
        process = self.start(output, *flags)
        _, stderr = process.communicate()
        return process.returncode, stderr


@pytest.fixture(scope="module")
def build(chain, tmp_path_factory):
    return Build(tmp_path_factory.mktemp("build"), chain.vocab)


@pytest.fixture(scope="module")
def quiet(build, tmp_path_factory):
    """The files of a run that nothing happened to."""
    output = tmp_path_factory.mktemp("quiet") / "records"
    status, stderr = build.run(output)
    assert status == 0, stderr
    return contents(output)


def any_file(pattern):
    return lambda output: any(output.glob(pattern))


# When to kill: as soon as this is so. The first of them is in the middle of cutting the text.
MOMENTS = [
    lambda output: any_file(".parts/train-*.jsonl")(output) and not any_file(".parts/plan.json")(output),
    any_file(".parts/plan.json"),
    any_file(".tmp-*"),
    any_file("*.tfrecord-*"),
    any_file(".parts/*.done.json"),
]
WAITS = (0.1, 0.3, 0.6)  # seconds after a run has begun


def is_at_work(process, output):
    """Whether the build has begun: what is there when it starts may be left of an earlier one."""
    lock = output / ".lock"
    return lock.exists() and lock.read_text().startswith(f"process {process.pid} on ")


@pytest.mark.slow
def test_killed_again_and_again(build, quiet, tmp_path):
    output = tmp_path / "records"
    killed = []
    for moment, wait in [(moment, 0) for moment in MOMENTS] + [(Path.exists, wait) for wait in WAITS]:
        process = build.start(output)
        while not (is_at_work(process, output) and moment(output)) and process.poll() is None:
            time.sleep(0.0005)
        time.sleep(wait)
        process.kill()
        killed.append(process.wait() == -signal.SIGKILL)
        # A file that has its final name is whole.
        for name, content in contents(output).items():
            is_aside = any(part.startswith(".") for part in Path(name).parts)
            assert is_aside or content == quiet[name], name
    assert sum(killed) > len(MOMENTS), killed  # the last ones may come when all is done
    assert all(killed[: len(MOMENTS)]), killed
    status, stderr = build.run(output)
    assert status == 0, stderr
    assert contents(output) == quiet


def test_killed_while_cutting_leaves_no_plan_and_other_options_may_follow(build, tmp_path):
    output = tmp_path / "records"
    for _ in range(5):
        process = build.start(output, "--num_parts=9")
        while not MOMENTS[0](output) and process.poll() is None:
            time.sleep(0.0005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if MOMENTS[0](output):
            break
        shutil.rmtree(output)  # too late, by chance
    assert MOMENTS[0](output)
    status, stderr = build.run(output, "--dupe_factor=1")
    assert status == 0, stderr
    assert not list(output.glob("*of-00009"))


@pytest.mark.slow
def test_a_cut_is_not_made_twice_and_other_options_are_refused_once_there_is_a_shard(build, quiet, tmp_path):
    output = tmp_path / "records"
    process = build.start(output)
    while not any_file("*.tfrecord-*")(output):
        assert process.poll() is None
        time.sleep(0.0005)
    process.kill()
    process.wait()
    status, stderr = build.run(output, "--dupe_factor=3")
    assert status == 1
    assert stderr.splitlines()[-1].startswith(f"error: {output} holds records made with --dupe_factor=4, not 3")
    status, stderr = build.run(output)
    assert status == 0, stderr
    assert "Cutting" not in stderr
    assert contents(output) == quiet


def test_a_second_run_says_so_and_stops(build, quiet, tmp_path):
    output = tmp_path / "records"
    first = build.start(output)
    while not any_file(".parts/*.jsonl")(output):
        assert first.poll() is None
        time.sleep(0.0005)
    with stopped(first):
        status, stderr = build.run(output)
    assert status == 1
    assert f"{output} is being written by process {first.pid} on " in stderr.splitlines()[-1]
    assert "Traceback" not in stderr
    _, stderr = first.communicate()
    assert first.returncode == 0, stderr
    assert contents(output) == quiet


@pytest.fixture
def small_disk(tmp_path):
    """mount(megabytes) makes a file system of that size, or another size of it; skips where none may be mounted."""
    path = tmp_path / "small"
    path.mkdir()

    def mount(megabytes, *options):
        command = [
            "mount",
            "-t",
            "tmpfs",
            "-o",
            ",".join([f"size={int(megabytes * 1000)}k", *options]),
            "tmpfs",
            str(path),
        ]
        if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("needs to mount a small file system")
        return path

    yield mount
    subprocess.run(["umount", str(path)], check=False, capture_output=True)


@pytest.mark.parametrize("during", [pytest.param("cutting", marks=pytest.mark.slow), "shards"])
def test_a_full_disk_is_one_line_and_the_same_command_goes_on(build, quiet, small_disk, during):
    parts = sum(map(len, topics.values()))  # about what the part files hold
    shards = sum(len(content) for name, content in quiet.items() if ".tfrecord" in name)
    disk = small_disk(parts / 2e6 if during == "cutting" else (parts * 1.2 + shards / 2) / 1e6)
    status, stderr = build.run(disk / "records")
    assert status == 1
    assert stderr.splitlines()[-1] == (
        f"error: no space left on the disk of --output={disk}/records; free some and run the same command again"
    )
    assert "Traceback" not in stderr
    assert "Cutting" in stderr
    assert (disk / "records" / ".parts" / "plan.json").exists() == (during == "shards")
    small_disk(1000, "remount")
    status, stderr = build.run(disk / "records")
    assert status == 0, stderr
    assert ("Cutting" in stderr) == (during == "cutting")
    assert contents(disk / "records") == quiet
