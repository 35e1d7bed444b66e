"""How long a run is, what its evaluation says, and by which file a threshold and a floor are found."""

import json

import numpy as np
import pytest

from bert_jax.config import FineTuningConfig, FitConfig, OptimizerConfig, TextConfig
from bert_jax.tasks.classification import Classification
from bert_jax.tasks.encoding import TextEncoder
from bert_jax.tasks.examples import TextExample
from bert_jax.tasks.multilabel import Multilabel
from bert_jax.tasks.regression import Regression
from bert_jax.tasks.task_files import TaskFiles
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.training import seed_run
from bert_jax.training.best_step import Best
from bert_jax.training.fine_tuning_run import (
    FineTuningData,
    _evaluate_every,
    best_floors,
    scored,
    steps_of,
    with_warmup,
)
from bert_jax.training.finetuning import _floors
from bert_jax.training.seed_run import SeedRun


def test_steps_and_warmup_are_the_originals():
    """run_classifier.py:843-845 on MRPC's 3,668 pairs."""
    assert steps_of(FitConfig(epochs=3.0, global_batch_size=32), 3668) == 343
    assert steps_of(FitConfig(epochs=3.0, global_batch_size=32, steps=7), 3668) == 7
    assert steps_of(FitConfig(epochs=0.5, global_batch_size=32), 8) == 1
    assert with_warmup(FineTuningConfig(), 343).warmup_steps == 34
    own = FineTuningConfig(optimizer=OptimizerConfig(warmup_steps=5))
    assert with_warmup(own, 343).warmup_steps == 5


def test_a_run_is_evaluated_so_many_times_an_epoch():
    fit = FitConfig(global_batch_size=32, evaluations_per_epoch=2.0)
    assert _evaluate_every(fit, 100, 640) == 10
    assert _evaluate_every(fit, 7, 640) == 7
    assert _evaluate_every(fit, 100, 8) == 1


def test_the_best_floor_of_an_error_is_the_least():
    floors = {"one": {"spearman": 0.2, "mse": 3.0}, "other": {"spearman": 0.5, "mse": 2.0}, "third": {"mse": 4.0}}
    baselines = {metric.name: metric.baseline for metric in Regression().metrics}
    assert best_floors(Regression(), floors) == {baselines["spearman"]: 0.5, baselines["mse"]: 2.0}


def text(label):
    return TextExample("f.tsv, line 1", None, "7", None, label)


def rows_of(task, examples):
    return task.encode(examples, TextEncoder(load_tokenizer("ids:50"), TextConfig(max_length=8), windows=False))


def logits(*probabilities):
    return [np.array([np.log(each / (1 - each))]) for each in probabilities]


TASK = Multilabel(("x",), (0.5,))
DEV = [text(("x",)), text(())]  # at .2 and .1, which a threshold of .15 parts
TEST = [text(("x",)), text(())]  # at .4 and .3, where one of .35 would


def test_a_dev_file_is_scored_at_the_best_threshold():
    assert scored(TASK, logits(0.2, 0.1), rows_of(TASK, DEV), DEV)["micro_f1"] == 1


def test_thresholds_are_those_of_the_dev_file_and_hold_on_the_test_file(monkeypatch, tmp_path):
    class Predictor:
        def __init__(self, *given):
            pass

        def outputs(self, rows, watch):
            return logits(0.2, 0.1) if rows is data.dev else logits(0.4, 0.3)

    monkeypatch.setattr(seed_run, "Predictor", Predictor)
    monkeypatch.setattr(seed_run.fine_tuned, "read_weights", lambda *given: {})
    files = TaskFiles(TASK, DEV, DEV, TEST)
    data = FineTuningData(files, rows_of(TASK, DEV), rows_of(TASK, DEV), rows_of(TASK, TEST), {}, {}, {})
    run = SeedRun(FineTuningConfig(), tmp_path, 0, data, None, None)
    run.directory.mkdir()
    scores = run._scored(Best(step=3))
    assert scores.settings["thresholds"] == pytest.approx([0.15])
    assert scores.dev["micro_f1"] == 1
    assert scores.test["micro_f1"] == pytest.approx(2 / 3)  # of two given ones one is right
    lines = (run.directory / "test_predictions.jsonl").read_text().splitlines()
    assert [json.loads(line)["prediction"]["labels"] for line in lines] == [["x"], ["x"]]


def test_floors_are_learned_from_the_training_file_and_scored_on_their_own(tmp_path):
    train = [text("a"), text("a"), text("b")]
    files = TaskFiles(Classification(("a", "b")), train, [text("a"), text("a")], [text("b"), text("b"), text("a")])
    found = _floors(tmp_path, files)
    assert found["dev"]["commonest label"]["accuracy"] == 1
    assert found["test"]["commonest label"]["accuracy"] == pytest.approx(1 / 3)
    assert _floors(tmp_path, TaskFiles(files.task, train, [], files.test))["dev"] == {}
