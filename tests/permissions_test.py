"""Paths that this account may not read or write, in every verb: one line with the path and the reason, nothing changed.

The verbs run without root's right to read and write everything, so that modes count where tests run as root, too.
"""

import shutil
import sys
from pathlib import Path

import pytest

from tests.verbs import Verbs

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform != "linux", reason="takes a capability of Linux away"),
]
ROOT = Path(__file__).parent.parent
# PR_CAPBSET_DROP of CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH counts from the next exec on; who is not root has neither.
WITHOUT_OVERRIDE = """
import ctypes, os, sys
for capability in (1, 2):
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
CONFIG = f"--config={ROOT}/tests/configs/one_phase.py"
RECORDS = "--config.data.records=@/records-{max_seq_length}"


@pytest.fixture
def directory(chain, finished_run, tmp_path):
    """A corpus, its vocabulary, its records and a run of them; the modes are restored at the end."""
    directory = tmp_path / "data"
    directory.mkdir()
    shutil.copy(chain.corpus, directory / "corpus.txt")
    shutil.copy(ROOT / "tests" / "configs" / "one_phase.py", directory / "config.py")
    for name, source in (("vocab", chain.vocab), ("records-32", chain.records(32)), ("run", finished_run)):
        shutil.copytree(source, directory / name)
    (directory / "closed").mkdir()
    yield directory
    for path in (directory, *directory.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755)


@pytest.fixture(scope="module")
def run():
    """run(directory, verb, *flags) -> the finished process, for which modes count."""
    those = Verbs(sys.executable, "-c", WITHOUT_OVERRIDE)
    yield lambda directory, verb, *flags: those.run(verb, *(flag.replace("@", str(directory)) for flag in flags))
    those.close()


def contents(directory):
    """Every file and directory below; what files hold."""
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(directory.rglob("*"))}


VOCABULARY = ("--vocab_size=600", "--input=@/corpus.txt")


@pytest.mark.parametrize(
    ("closed", "mode", "verb", "flags"),
    [
        ("corpus.txt", 0, "build_vocab", [*VOCABULARY, "--output=@/new"]),
        ("closed", 0o555, "build_vocab", [*VOCABULARY, "--output=@/closed/new"]),
        ("vocab", 0, "build_vocab", ["--input=@/vocab/*.txt", "--output=@/new"]),
        ("vocab/vocab.txt", 0, "build_records", ["--input=@/corpus.txt", "--vocab=@/vocab", "--output=@/new"]),
        ("vocab", 0, "build_records", ["--input=@/corpus.txt", "--vocab=@/vocab", "--output=@/new"]),
        ("closed", 0o555, "build_records", ["--input=@/corpus.txt", "--vocab=@/vocab", "--output=@/closed"]),
        (
            "records-32/records.json",
            0,
            "build_records",
            ["--input=@/corpus.txt", "--vocab=@/vocab", "--output=@/records-32"],
        ),
        ("config.py", 0, "pretrain", ["--config=@/config.py", "--workdir=@/new"]),
        ("records-32", 0, "pretrain", [CONFIG, RECORDS, "--workdir=@/new"]),
        ("records-32/records.json", 0, "pretrain", [CONFIG, RECORDS, "--workdir=@/new"]),
        ("records-32/tokenizer", 0, "pretrain", [CONFIG, RECORDS, "--workdir=@/new"]),
        ("closed", 0o555, "pretrain", [CONFIG, RECORDS, "--workdir=@/closed/new"]),
        ("run/config.json", 0, "pretrain", [CONFIG, RECORDS, "--workdir=@/run"]),
        ("run/checkpoints/20", 0, "pretrain", [CONFIG, RECORDS, "--workdir=@/run"]),
        ("run/metrics.jsonl", 0, "pretrain", [CONFIG, RECORDS, "--workdir=@/run"]),
        ("run/config.json", 0, "evaluate", ["--workdir=@/run", "--records=@/records-32"]),
        ("run/checkpoints/20/state/_METADATA", 0, "evaluate", ["--workdir=@/run", "--records=@/records-32"]),
        ("run/tokenizer", 0, "export", ["--workdir=@/run", "--format=numpy", "--output=@/new"]),
        ("closed", 0o555, "export", ["--workdir=@/run", "--format=numpy", "--output=@/closed/new"]),
        ("run/metrics.jsonl", 0, "report", ["--workdir=@/run"]),
        ("closed", 0o555, "report", ["--workdir=@/run", "--output=@/closed/new.html"]),
        ("closed", 0o555, "plan", [CONFIG, "--topology=cpu:1", "--json=@/closed/new.json"]),
    ],
)
def test_what_is_closed_is_one_line_and_nothing_is_changed(run, directory, closed, mode, verb, flags):
    before = contents(directory)
    (directory / closed).chmod(mode)
    done = run(directory, verb, *flags)
    (directory / closed).chmod(0o755)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    assert f"{directory}/{closed}" in errors[0]
    assert "ermission denied" in errors[0]
    assert "Traceback" not in done.stderr
    assert done.returncode == (2 if closed == "config.py" else 1)
    after = contents(directory)
    changed = [path for path in before | after if before.get(path) != after.get(path)]
    # Where the records are now, where the time went and compiled programs are written before a checkpoint is read.
    may_change = {"config.json", "runs.jsonl"}
    assert [path for path in changed if path.name not in may_change and "compilation_cache" not in path.parts] == []


@pytest.mark.parametrize(
    ("output", "verb", "flags"),
    [
        ("loop", "build_vocab", VOCABULARY),
        ("dangling", "build_vocab", VOCABULARY),
        ("corpus.txt", "build_records", ["--input=@/corpus.txt", "--vocab=@/vocab"]),
        ("corpus.txt/new", "export", ["--workdir=@/run", "--format=numpy"]),
        ("dangling", "export", ["--workdir=@/run", "--format=numpy"]),
        ("corpus.txt", "report", ["--workdir=@/run"]),
    ],
)
def test_an_output_that_can_be_no_output_is_one_line_and_stays(run, directory, output, verb, flags):
    (directory / "dangling").symlink_to(directory / "gone")
    (directory / "loop").symlink_to(directory / "loop")
    before = contents(directory)
    done = run(directory, verb, *flags, f"--output=@/{output}")
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    assert f"{directory}/{output}" in errors[0]
    assert "Traceback" not in done.stderr
    assert done.returncode == 1
    assert contents(directory) == before
