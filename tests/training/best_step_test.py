import json

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from bert_jax.tasks.task import score
from bert_jax.training.best_step import BestStep

F1, MSE = score("f1", "F1", "f1"), score("mse", "MSE", "mse", "lower")


def seen(directory, metric, scores, patience=0):
    best = BestStep(directory, metric, patience)
    for step, value in enumerate(scores, 1):
        best.record(step, {metric.name: value}, {"a": {"b": jnp.full(2, float(step))}})
    return best


@pytest.mark.parametrize(
    ("metric", "scores", "step"),
    [
        (F1, [0.2, 0.9, 0.5], 2),
        (MSE, [0.2, 0.9, 0.5], 1),  # an error is better the lower it is
        (F1, [0.5, 0.5], 1),
        (F1, [float("nan"), 0.1, float("nan")], 2),
        (MSE, [float("nan"), 3.0, 2.0], 3),
    ],
)
def test_the_best_step_is_best_the_right_way_round(tmp_path, metric, scores, step):
    best = seen(tmp_path, metric, scores)
    assert best.best.step == step
    kept = safetensors.numpy.load_file(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(kept["a/b"], np.full(2, float(step), np.float32))
    assert json.loads((tmp_path / "best.json").read_text())["score"] == scores[step - 1]


def test_a_run_that_is_resumed_sees_a_step_once(tmp_path):
    seen(tmp_path, F1, [0.2, 0.9])
    again = seen(tmp_path, F1, [0.2, 0.9, 0.1])
    assert [step for step, _ in again.best.history] == [1, 2, 3]
    assert again.best.step == 2


@pytest.mark.parametrize(
    ("scores", "patience", "over"),
    [
        ([0.5, 0.4], 2, [False, False]),
        ([0.5, 0.4, 0.3], 2, [False, False, True]),
        ([0.5, 0.4, 0.6, 0.5, 0.6], 2, [False, False, False, False, True]),
        ([0.5, 0.4, 0.3], 0, [False, False, False]),
        ([float("nan")] * 3, 2, [False, False, True]),
    ],
)
def test_patience(tmp_path, scores, patience, over):
    best = seen(tmp_path, F1, scores, patience)
    assert [best.should_stop(step) for step in range(1, len(scores) + 1)] == over
    mirrored = seen(tmp_path / "lower", MSE, [-value for value in scores], patience)
    assert [mirrored.should_stop(step) for step in range(1, len(scores) + 1)] == over
