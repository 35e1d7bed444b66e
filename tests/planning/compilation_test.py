import io
import re
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest

from bert_jax.config import Config, MeshConfig, PhaseConfig
from bert_jax.errors import UserError
from bert_jax.planning import progress
from bert_jax.planning.compilation import CompilationError, Request, compile_step
from bert_jax.planning.compile_worker import unreadable
from bert_jax.planning.topologies import parse_topology

CHILDREN = {
    "crashes": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "hangs": "import time; time.sleep(600)",
    "fails": "raise RuntimeError('the flag is unknown')",
    "says_nothing": "",
    "is_watched": """
import os, sys, time
from pathlib import Path
from bert_jax.child_processes import end_with_parent
end_with_parent()
Path(sys.argv[1], "pid.tmp").write_text(str(os.getpid()))
Path(sys.argv[1], "pid.tmp").rename(Path(os.environ["TOLD"]))
time.sleep(600)
""",
}


@pytest.fixture
def request_(model_config):
    config = Config(model=model_config, phases=(PhaseConfig(global_batch_size=8, max_seq_length=16),))
    return Request(config, 0, 4, parse_topology("cpu:2"))


@pytest.fixture
def child(tmp_path, monkeypatch):
    """child(name) -> a module that `python -m` finds, with that misbehaviour."""

    def make(name):
        (tmp_path / f"{name}.py").write_text(CHILDREN[name])
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        return name

    return make


@pytest.mark.parametrize(
    ("name", "limit_seconds", "message"),
    [
        ("crashes", 60, r"^the compiler crashed \(SIGSEGV\)$"),
        ("hangs", 0.5, r"^the compiler took longer than 0.5 s \(--compile_minutes\)$"),
        ("fails", 60, "^the compiler ended with status 1: RuntimeError: the flag is unknown$"),
        ("says_nothing", 60, "^the compiler ended with status 0: no output$"),
    ],
)
def test_a_child_without_a_result(request_, child, name, limit_seconds, message):
    with pytest.raises(CompilationError, match=message):
        compile_step(request_, limit_seconds, child(name))


def test_a_log_shows_now_and_then_that_it_still_compiles(request_, child, monkeypatch, caplog):
    monkeypatch.setattr(progress, "_TICK", 0.1)
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LOG_LINES", 0.5)
    with caplog.at_level("INFO"), pytest.raises(CompilationError):
        compile_step(request_, 2, child("hangs"))
    lines = [record.getMessage() for record in caplog.records]
    assert 1 <= len(lines) <= 4  # and not one a tick
    for line in lines:
        assert re.fullmatch(r"cpu:2: compiling phase 0: [012] s so far, at most 2 s \(--compile_minutes\)", line)


def test_a_terminal_has_one_line_that_is_rewritten_and_goes(request_, child, monkeypatch, caplog):
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "_TICK", 0.1)
    with caplog.at_level("INFO"), pytest.raises(CompilationError):
        compile_step(request_, 2.5, child("hangs"))
    shown = terminal.getvalue().split("\r")
    seconds = set()
    for line in filter(None, map(str.strip, shown)):
        found = re.fullmatch(r"cpu:2: compiling phase 0, 00:0([012]), at most 00:02 \(--compile_minutes\)", line)
        seconds.add(found[1])
    assert len(seconds) > 1
    assert "\n" not in terminal.getvalue()
    assert not shown[-2].strip()  # wiped out
    assert not caplog.records


PLAN = """
import sys
from bert_jax.config import Config
from bert_jax.planning.compilation import Request, compile_step
from bert_jax.planning.topologies import parse_topology
compile_step(Request(Config(), 0, 4, parse_topology("cpu:2")), 600, "is_watched")
"""


def test_a_child_ends_with_a_plan_that_is_killed(child, tmp_path, monkeypatch):
    child("is_watched")
    told = tmp_path / "told"
    monkeypatch.setenv("TOLD", str(told))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    plan = subprocess.Popen([sys.executable, "-c", PLAN])
    wait_until(told.exists)
    plan.kill()
    plan.wait()
    wait_until(lambda: not is_running(int(told.read_text())))


def is_running(process):
    """Whether there is such a process that has not ended; one that nobody waits for stays in the list."""
    status = Path(f"/proc/{process}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def wait_until(is_so):
    for _ in range(1200):
        if is_so():
            return
        time.sleep(0.1)
    raise AssertionError("it never was")


@pytest.mark.slow
def test_the_real_child_compiles_for_the_cpu(request_):
    compiled = compile_step(request_, 200)
    assert "ENTRY" in compiled.text
    assert compiled.flops["attention"] > 0
    assert compiled.bytes["temporaries"] > 0
    assert compiled.host_flops > 1e8


def test_a_mesh_that_does_not_fit_is_the_users_to_mend(request_):
    request_.config.mesh = MeshConfig(data=3)
    with pytest.raises(UserError, match="does not fit 2 device"):
        compile_step(request_, 200)


def test_a_program_that_jax_cannot_read_names_the_libtpu_that_it_can(monkeypatch):
    monkeypatch.setattr(metadata, "version", lambda name: "0.0.99")
    message = unreadable("INTERNAL: RET_CHECK failure, async-update\n*** Begin stack trace")
    assert "libtpu 0.0.99 (INTERNAL: RET_CHECK failure, async-update); plan with its own" in message
    assert re.search(r"pip install 'libtpu==[\d.*]+'$", message)
