"""How a process of a job ends when a computation fails: for good, or to be started again."""

import jax
import pytest

from bert_jax.parallel import processes
from bert_jax.parallel.processes import RESUME, joined


@pytest.fixture
def left(monkeypatch):
    """The exit codes with which this process, as one of several, would leave."""
    codes = []
    monkeypatch.setattr(processes, "connect", lambda: None)
    monkeypatch.setattr(processes, "_leave_at_exit", codes.append)
    monkeypatch.setattr(jax.distributed, "is_initialized", lambda: True)
    return codes


def fail(text):
    with joined():
        raise jax.errors.JaxRuntimeError(text)


@pytest.mark.parametrize(
    "text",
    [
        "UNAVAILABLE: failed to connect to all addresses",
        "INTERNAL: NCCL operation failed: remote process exited",
        "UNKNOWN: Gloo AllReduce failed: Connection closed by peer",
        "ABORTED: the coordination service stopped",
    ],
)
def test_a_lost_process_is_a_line_and_the_job_goes_on_when_started_again(left, capsys, text):
    with pytest.raises(SystemExit) as ended:
        fail(text)
    assert ended.value.code == RESUME
    assert left == [RESUME]
    assert f"error: another process of the job is gone ({text})" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        "INVALID_ARGUMENT: Mosaic failed to compile TPU kernel",
        "UNIMPLEMENTED: no such instruction",
        "RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes",
    ],
)
def test_what_would_fail_again_is_not_started_again(left, text):
    with pytest.raises(jax.errors.JaxRuntimeError, match=text.partition(":")[0]):
        fail(text)
    assert left == [1]
