"""The progress of long work, at a terminal and in a log."""

import io
import sys

import pytest

from bert_jax import progress
from bert_jax.progress import BarOrLog, counted


@pytest.fixture
def log(caplog, monkeypatch):
    """What is logged, of work of which each look is worth a line."""
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LOG_LINES", 0.0)
    caplog.set_level("INFO")
    return lambda: caplog.messages


def at_terminal(monkeypatch):
    """What takes the place of the standard error from here on, and is drawn to at each look."""
    found = io.StringIO()
    monkeypatch.setattr(found, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", found)
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LOOKS", 0.0)
    return found


def test_a_log_says_share_and_time_to_go_until_the_end(log):
    assert list(counted("abc", "shards", 3)) == ["a", "b", "c"]
    assert log() == ["shards: 1 of 3, 33%, 0 s to go", "shards: 2 of 3, 67%, 0 s to go", "shards: 3 of 3"]


def test_the_time_to_go_is_told_from_what_was_done_here(log, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with BarOrLog("embedding", lambda seconds: f"{seconds:.0f} s", total=1000, done=900) as shown:
        now[0] += 10
        shown.show(920)
    assert log() == ["embedding: 10 s, 92%, 40 s to go"]


def test_lines_of_a_log_are_some_time_apart(caplog, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    caplog.set_level("INFO")
    with BarOrLog("embedding", lambda seconds: f"{seconds:.0f} s") as shown:
        for now[0] in range(35):
            shown.show(1)
    assert caplog.messages == ["embedding: 10 s", "embedding: 20 s", "embedding: 30 s"]


def test_a_terminal_has_a_bar_with_the_same_words_and_no_log(monkeypatch, caplog):
    terminal = at_terminal(monkeypatch)
    caplog.set_level("INFO")
    with BarOrLog("records", lambda _: "2 of 8 parts", total=8, unit="B") as shown:
        shown.show(2)
    assert "records:  25%" in terminal.getvalue()
    assert "2 of 8 parts" in terminal.getvalue()
    assert not caplog.messages


def test_a_bar_ends_where_the_work_did_though_the_last_look_came_too_early(monkeypatch):
    terminal = at_terminal(monkeypatch)
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LOOKS", 1000.0)
    assert len(list(counted(range(7), "sizes", 7))) == 7
    with BarOrLog("texts", lambda _: "", total=8) as shown:
        shown.show(8)
    assert "texts: 100%" in terminal.getvalue()
