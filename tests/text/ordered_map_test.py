"""Order, bounded memory, errors, and no process left behind by one that was killed."""

import os
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import pytest

from bert_jax.errors import UserError
from bert_jax.text.ordered_map import ordered_map


def test_in_order_and_never_far_ahead():
    taken = []

    def items():
        for number in range(2000):
            taken.append(number)
            yield str(number)

    results = ordered_map(int, items(), num_workers=2)
    assert list(islice(results, 100)) == list(range(100))
    assert len(taken) < 400
    assert list(results) == list(range(100, 2000))


@pytest.mark.parametrize("num_workers", [1, 2])
def test_an_error_comes_out(num_workers):
    with pytest.raises(ValueError, match="'x'"):
        list(ordered_map(int, ["1", "x"], num_workers))


def test_an_error_of_the_items_comes_out():
    def items():
        yield "1"
        raise UserError("line 2")

    with pytest.raises(UserError, match="line 2"):
        list(ordered_map(int, items(), 2))


PROGRAM = """
import itertools, os, sys
from bert_jax.text.ordered_map import ordered_map
if __name__ == "__main__":
    for number in ordered_map(str, itertools.count(), 2):
        print(number, flush=True)
"""


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, tmp_path / "program.py"], env=environment, stdout=subprocess.PIPE, start_new_session=True
    )
    process.stdout.readline()
    assert len(_processes(process.pid)) >= 3
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    given_up = time.monotonic() + 60
    while _processes(process.pid):
        assert time.monotonic() < given_up
        time.sleep(0.05)


def _processes(session):
    """The processes that belong to a session and are not dead."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, of_session = stat.read_text().rsplit(")", 1)[1].split()[:4]
        except OSError:  # it has just ended
            continue
        if int(of_session) == session and state != "Z":
            found.append(int(stat.parent.name))
    return found
