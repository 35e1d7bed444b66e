"""Scores of several labels an example, against scikit-learn and against loops."""

import itertools
import math
import warnings

import numpy as np
import pytest
from sklearn import metrics

from bert_jax.tasks.scores import multilabel as scores


@pytest.fixture
def answers():
    """Gold [60, 7] and probabilities; label 5 is in no gold row, and rows without any label are there."""
    random = np.random.default_rng(0)
    gold = random.random((60, 7)) < 0.2
    gold[:, 5] = False
    gold[:3] = False
    return gold, np.clip(random.random((60, 7)) * 0.7 + gold * 0.3, 0, 1)


def test_scores_equal_scikit_learn(answers):
    gold, probabilities = answers
    gold, probabilities = np.delete(gold, 5, axis=1), np.delete(probabilities, 5, axis=1)
    given = probabilities >= 0.6
    labelled = gold.any(axis=1)
    expected = {
        "micro_f1": metrics.f1_score(gold, given, average="micro"),
        "macro_f1": metrics.f1_score(gold, given, average="macro"),
        "micro_average_precision": metrics.average_precision_score(gold, probabilities, average="micro"),
        "macro_average_precision": metrics.average_precision_score(gold, probabilities, average="macro"),
        "micro_roc_auc": metrics.roc_auc_score(gold, probabilities, average="micro"),
        "precision_at_1": np.mean(
            [row[p.argmax()] for row, p in zip(gold[labelled], probabilities[labelled], strict=True)]
        ),
        "subset_accuracy": metrics.accuracy_score(gold, given),
    }
    assert scores.multilabel(gold, probabilities, np.full(6, 0.6)) == pytest.approx(expected, abs=1e-12)


def test_each_label_has_its_threshold(answers):
    gold, probabilities = answers
    thresholds = np.linspace(0.3, 0.9, 7)
    found = scores.multilabel(gold, probabilities, thresholds)
    assert found["micro_f1"] == pytest.approx(metrics.f1_score(gold, probabilities >= thresholds, average="micro"))


def test_a_label_is_given_from_its_threshold_on():
    assert scores.multilabel(np.asarray([[True, False]]), [[0.5, 0.25]], 0.5)["subset_accuracy"] == 1


def test_a_label_that_gold_does_not_have_is_left_out_where_it_is_undefined(answers):
    gold, probabilities = answers
    without = np.delete(np.arange(7), 5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = scores.multilabel(gold, probabilities, [0.6] * 5 + [1.1, 0.6])  # it is never given: its F1 is 0/0
    assert all(math.isfinite(value) for value in found.values())
    expected = scores.multilabel(gold[:, without], probabilities[:, without], 0.6)
    for name in ("macro_f1", "macro_average_precision"):
        assert found[name] == pytest.approx(expected[name])
    given = scores.multilabel(gold, probabilities, 0.0)  # it is given: its F1 is 0
    assert given["macro_f1"] == pytest.approx(
        metrics.f1_score(gold, np.ones_like(gold), average="macro", zero_division=0)
    )


@pytest.mark.parametrize("value", [False, True])
def test_gold_of_one_kind_neither_fails_nor_warns(value):
    gold = np.full((3, 2), value)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = scores.multilabel(gold, np.full((3, 2), 0.2), 0.5)
    assert found["micro_f1"] == found["macro_f1"] == 0
    assert math.isnan(found["micro_roc_auc"])
    assert math.isnan(found["macro_average_precision"]) != value
    assert found["subset_accuracy"] == float(not value)


def brute_threshold(gold, probabilities):
    """All candidates, each scored by scikit-learn."""
    values = sorted({0.0, *probabilities.tolist()})
    candidates = [0.5] + [(a + b) / 2 for a, b in itertools.pairwise(values)]
    f1 = {t: metrics.f1_score(gold, probabilities >= t, zero_division=0) for t in candidates}
    best = max(f1.values())
    return min((t for t in candidates if f1[t] >= best - 1e-12), key=lambda t: abs(t - 0.5))


@pytest.mark.parametrize("seed", range(5))
def test_thresholds_equal_those_of_all_candidates(seed):
    random = np.random.default_rng(seed)
    gold = random.random((40, 3)) < 0.3
    probabilities = np.round(random.random((40, 3)) * 0.7 + gold * 0.2, 2)  # some are equal
    assert scores.best_threshold(gold, probabilities) == pytest.approx(
        brute_threshold(gold.ravel(), probabilities.ravel())
    )


def test_thresholds_that_are_as_good_are_nearest_to_the_middle():
    gold = np.asarray([[False], [True]])
    assert scores.best_threshold(gold, [[0.1], [0.9]]) == 0.5
    assert scores.best_threshold(gold, [[0.1], [0.3]]) == pytest.approx(0.2)
    assert scores.best_threshold(np.zeros((2, 1), bool), [[0.1], [0.9]]) == 0.5
    assert scores.best_threshold(np.ones((2, 1), bool), [[0.0], [0.9]]) == 0.0  # all are to be given


def test_a_threshold_between_neighbouring_numbers_parts_them():
    low = 0.3
    high = np.nextafter(low, 1)
    threshold = scores.best_threshold(np.asarray([[False], [True]]), [[low], [high]])
    assert low < threshold <= high
