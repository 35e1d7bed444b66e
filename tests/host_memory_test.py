"""Verbs have huge pages for large arrays where the system gives them to those who ask."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bert_jax.host_memory import MODE, VALUE, VARIABLE, give_back_freed, huge_pages_help

# Python imports this at every start, before anything of the verb.
TELLS = f"import os, sys; print(os.getpid(), os.environ.get({VARIABLE!r}), file=sys.stderr)"


@pytest.fixture
def starts(tmp_path):
    """Runs a verb's --help with the variable set so (None: not set): (process, value) of each start, and its output."""
    (tmp_path / "sitecustomize.py").write_text(TELLS)

    def run(value: str | None) -> tuple[list[list[str]], str]:
        environment = {name: each for name, each in os.environ.items() if name != VARIABLE}
        environment |= {"PYTHONPATH": str(tmp_path)} | ({} if value is None else {VARIABLE: value})
        command = [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "bert_jax.report",
            "--workdir=a b",
            "--output=x",
            "nothing more",
        ]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 2
        told = done.stderr.splitlines()
        return [line.split() for line in told if "error" not in line], told[-1]

    return run


def test_a_verb_begins_anew_with_the_variable_and_its_arguments(starts):
    begun, last = starts(None)
    assert "unexpected argument 'nothing more'" in last
    assert begun[0][1] == "None"
    if huge_pages_help({}, MODE):
        (process, _), (again, value) = begun
        assert (again, value) == (process, VALUE)
    else:
        assert len(begun) == 1


def test_what_somebody_has_set_stays(starts):
    begun, last = starts("glibc.malloc.check=0")
    assert [value for _, value in begun] == ["glibc.malloc.check=0"]
    assert "unexpected argument 'nothing more'" in last


@pytest.mark.parametrize(
    ("mode", "device", "helps"),
    [
        ("always [madvise] never", "null", True),
        ("[always] madvise never", "null", False),  # they come unasked
        ("always madvise [never]", "null", False),
        ("always [madvise] never", "accel0", False),  # the CPU is not what computes
        (None, "null", False),
    ],
)
def test_where_they_help(tmp_path: Path, mode, device, helps, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / device).touch()
    if mode is not None:
        (tmp_path / "mode").write_text(f"{mode}\n")
    assert huge_pages_help({}, tmp_path / "mode", tmp_path / "dev") == helps
    assert not huge_pages_help({VARIABLE: ""}, tmp_path / "mode", tmp_path / "dev")


def test_only_where_there_is_glibc_to_ask(tmp_path: Path, monkeypatch):
    (tmp_path / "mode").write_text("always [madvise] never")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not huge_pages_help({}, tmp_path / "mode", tmp_path)


HOLDS = """
from bert_jax.host_memory import give_back_freed

def resident():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS"))

blocks = [b"x" * 65_536 for _ in range(4_000)]
blocks[:-1] = []  # the last one keeps glibc from returning those before it
before = resident()
give_back_freed()
print(before - resident())
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not say what a process holds")
def test_what_was_freed_is_given_back():
    done = subprocess.run([sys.executable, "-c", HOLDS], capture_output=True, text=True, check=True)
    freed = int(done.stdout)
    assert freed > 200_000 or not hasattr(ctypes.CDLL(None), "malloc_trim")


def test_without_glibc_nothing_is_done(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    give_back_freed()
