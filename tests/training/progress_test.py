"""What a person sees of a run on a terminal and in logs."""

import logging
import os
import pty
import subprocess
import sys
import termios

from bert_jax.objectives.pretraining_metrics import METRICS
from bert_jax.training.progress import RunProgress

VALUES = {
    "loss": 7.1234,
    "masked_lm_accuracy": 0.0811,
    "next_sentence_accuracy": 0.551,
    "learning_rate": 1e-4,
    "tokens_per_second": 12345.6,
    "mfu": 0.3124,
    "gradient_norm": 1.0,
}


def test_plain_lines_where_nobody_watches(caplog):
    caplog.set_level(logging.INFO, logger="absl")
    clock = iter([100.0, 110.0]).__next__
    progress = RunProgress(total_steps=1000, first_step=100, metrics=METRICS, clock=clock)
    progress.update(110)  # the clock starts here: at 110 steps, 100 s
    progress.update(120, VALUES)  # 10 steps in 10 s, 880 to go
    progress.message("checkpoint saved")
    progress.close()
    assert [record.getMessage() for record in caplog.records] == [
        "step 120/1000  loss 7.123  mlm_acc 0.081  nsp_acc 0.55  lr 1.0e-04  12.3k tokens/s  mfu 31.2%  eta 14:40",
        "checkpoint saved",
    ]


def test_plain_line_without_mfu_and_with_a_broken_loss(caplog):
    caplog.set_level(logging.INFO, logger="absl")
    RunProgress(total_steps=10).update(1, {"loss": float("nan"), "tokens_per_second": float("inf")})
    assert [record.getMessage() for record in caplog.records] == ["step 1/10  loss nan  ? tokens/s  eta ?"]


WATCHED_RUN = f"""
from bert_jax.objectives.pretraining_metrics import METRICS
from bert_jax.training.progress import RunProgress
progress = RunProgress(total_steps=40, first_step=10, metrics=METRICS)
progress.update(20, {VALUES!r})
progress.message("checkpoint saved")
progress.update(40)
progress.close()
"""


def test_a_bar_where_somebody_watches():
    terminal, stderr = pty.openpty()
    termios.tcsetwinsize(stderr, (30, 120))
    run = subprocess.Popen([sys.executable, "-c", WATCHED_RUN], stderr=stderr)
    os.close(stderr)
    shown = b""
    try:
        while chunk := os.read(terminal, 4096):
            shown += chunk
    except OSError:  # how Linux says that the other end of a terminal was closed
        pass
    assert run.wait() == 0
    lines = shown.decode().replace("\r\n", "\n").split("\n")
    assert [line.split("\r")[-1] for line in lines if "checkpoint" in line] == ["checkpoint saved"]
    last = lines[-2].split("\r")[-1]
    assert last.startswith("step: 100%|")
    for part in ("40/40", "loss 7.123", "mlm_acc 0.081", "12.3k tokens/s", "mfu 31.2%"):
        assert part in last
