import logging

import pytest

from bert_jax import progress
from bert_jax.inference.progress import Progress


@pytest.fixture
def lines(caplog, monkeypatch):
    """What is logged, of work of which each batch takes long."""
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LOG_LINES", -1)
    caplog.set_level(logging.INFO)
    return lambda: caplog.messages


def test_rows_without_an_end(lines):
    with Progress("embedding") as told:
        assert list(told.watch([([0, 1, 2], "a"), ([3, 4], "b")])) == [([0, 1, 2], "a"), ([3, 4], "b")]
    said = [line.partition(", ")[0] for line in lines()]
    assert said == ["embedding: 3 rows", "embedding: 5 rows", "embedding: 5 rows"]  # the last one says that it is all


def test_examples_of_which_some_are_done(lines):
    """Each is of two rows."""
    with Progress("predicting", 10, done=4) as told:
        list(told.of_examples(6, 12)([([0] * 4,), ([0] * 8,)]))
    assert [line.partition(", ")[0] for line in lines()][:2] == [
        "predicting: 6 of 10 examples",
        "predicting: 10 of 10 examples",
    ]
    assert lines()[0].endswith(" s to go")
    assert " examples, " in lines()[0]


def test_short_work_with_an_end_is_not_told(caplog):
    caplog.set_level(logging.INFO)
    with Progress("predicting", 2) as told:
        list(told.of_examples(2, 2)([([0, 1],)]))
    assert caplog.messages == []
