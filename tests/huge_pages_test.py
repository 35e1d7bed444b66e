"""Verbs have huge pages for large arrays where the system gives them to those who ask."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bert_jax.huge_pages import MODE, VALUE, VARIABLE, help_here

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
    if help_here({}, MODE):
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
    assert help_here({}, tmp_path / "mode", tmp_path / "dev") == helps
    assert not help_here({VARIABLE: ""}, tmp_path / "mode", tmp_path / "dev")


def test_only_where_there_is_glibc_to_ask(tmp_path: Path, monkeypatch):
    (tmp_path / "mode").write_text("always [madvise] never")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not help_here({}, tmp_path / "mode", tmp_path)
