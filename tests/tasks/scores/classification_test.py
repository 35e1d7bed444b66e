"""Scores of a classification, against plain arithmetic and scikit-learn where that has the same."""

import math
import sys
import warnings

import numpy as np
import pytest
from sklearn import metrics

from bert_jax.errors import UserError
from bert_jax.tasks.scores import classification as scores

LABELS = ["no", "maybe", "yes"]


def answers(n=400, labels=LABELS, seed=0):
    random = np.random.default_rng(seed)
    gold = random.choice(labels, n, p=np.arange(1, len(labels) + 1) / sum(range(len(labels) + 1)))
    predicted = np.where(random.random(n) < 0.6, gold, random.choice(labels, n))
    return gold.tolist(), predicted.tolist()


def counted(gold, predicted, label):
    """right, predicted and gold ones of a label."""
    right = sum(g == p == label for g, p in zip(gold, predicted, strict=True))
    return right, predicted.count(label), gold.count(label)


def plain_f1(gold, predicted, label):
    right, found, true = counted(gold, predicted, label)
    return 2 * right / (found + true) if found + true else 0.0


def plain_matthews(gold, predicted, labels):
    """Gorodkin 2004, from the covariances of one-hot rows."""
    one_hot = [
        np.asarray([[answer == label for label in labels] for answer in rows], float) for rows in (gold, predicted)
    ]
    a, b = (rows - rows.mean(axis=0) for rows in one_hot)
    return (a * b).sum() / math.sqrt((a * a).sum() * (b * b).sum())


def test_scores_equal_plain_arithmetic():
    gold, predicted = answers()
    expected = {
        "accuracy": np.mean([g == p for g, p in zip(gold, predicted, strict=True)]),
        "macro_f1": np.mean([plain_f1(gold, predicted, label) for label in LABELS]),
        "weighted_f1": sum(plain_f1(gold, predicted, label) * gold.count(label) for label in LABELS) / len(gold),
        "matthews": plain_matthews(gold, predicted, LABELS),
    }
    assert scores.classification(gold, predicted, LABELS) == pytest.approx(expected, abs=1e-12)


def test_two_labels_have_the_f1_of_the_second():
    gold, predicted = answers(labels=["same", "other"])
    found = scores.classification(gold, predicted, ["same", "other"])
    assert found["f1"] == pytest.approx(plain_f1(gold, predicted, "other"), abs=1e-12)
    assert scores.classification(gold, predicted, ["other", "same"])["f1"] == pytest.approx(
        metrics.f1_score(gold, predicted, pos_label="same"), abs=1e-12
    )


def test_a_label_that_no_example_has_counts_zero():
    found = scores.classification(["a", "b"], ["a", "b"], ["a", "b", "c"])
    assert found == pytest.approx({"accuracy": 1, "macro_f1": 2 / 3, "weighted_f1": 1, "matthews": 1})


@pytest.mark.parametrize("gold", [["a", "a"], ["a", "b"], ["unknown", "a"]])
def test_one_answer_for_all_is_no_warning(gold):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = scores.classification(gold, ["a", "a"], ["a", "b"])
        assert found["matthews"] == 0
        assert all(math.isfinite(value) for value in found.values())
        scores.per_label(gold, ["a", "a"], ["a", "b"])


def test_each_label_has_its_row():
    gold, predicted = answers()
    table = scores.per_label(gold, predicted, [*LABELS, "never"])
    assert list(table) == [*LABELS, "never"]
    for label in LABELS:
        right, found, true = counted(gold, predicted, label)
        expected = {"precision": right / found, "recall": right / true, "support": true}
        assert table[label] == pytest.approx(expected | {"f1": plain_f1(gold, predicted, label)}, abs=1e-12)
    assert table["never"] == {"precision": 0, "recall": 0, "f1": 0, "support": 0}


def confusion(gold, predicted, labels):
    return scores.confusion(scores.numbers(gold, labels), scores.numbers(predicted, labels), len(labels))


def test_the_confusion_matrix_has_gold_in_rows():
    gold, predicted = answers()
    matrix = confusion(gold, predicted, LABELS)
    np.testing.assert_array_equal(matrix, metrics.confusion_matrix(gold, predicted, labels=LABELS))
    assert matrix.dtype == np.int64
    np.testing.assert_array_equal(confusion(["a", "x"], ["b", "b"], ["a", "b"]), [[0, 1], [0, 0]])
    np.testing.assert_array_equal(confusion([], [], ["a", "b"]), np.zeros((2, 2)))


@pytest.mark.parametrize("labels", [LABELS, LABELS[:2], [*LABELS, "never"]])
def test_scores_from_the_confusion_matrix_are_the_same(labels):
    gold, predicted = answers(labels=[label for label in labels if label != "never"])
    for case in ((gold, predicted), (gold, [labels[0]] * len(gold)), (gold[:1], gold[:1])):
        found = scores.from_confusion(confusion(*case, labels))
        assert found == pytest.approx(scores.classification(*case, labels), abs=1e-12)


def test_reliability_equals_a_loop_over_examples():
    random = np.random.default_rng(1)
    probabilities = random.dirichlet([0.4] * 3, 500)
    gold = random.choice(LABELS, 500).tolist()
    bins = scores.reliability(gold, probabilities, LABELS)
    assert sum(a_bin.count for a_bin in bins) == 500
    error = 0.0
    for number, a_bin in enumerate(bins):
        low, high = number / 10, (number + 1) / 10
        assert (a_bin.low, a_bin.high) == pytest.approx((low, high))
        inside = [
            (row.max(), LABELS[int(row.argmax())] == label) for row, label in zip(probabilities, gold, strict=True)
        ]
        inside = [(confidence, right) for confidence, right in inside if low < confidence <= high]
        assert a_bin.count == len(inside)
        if inside:
            confidence, right = np.mean(inside, axis=0)
            assert (a_bin.confidence, a_bin.accuracy) == pytest.approx((confidence, right))
            error += len(inside) / 500 * abs(confidence - right)
        else:
            assert math.isnan(a_bin.confidence)
            assert math.isnan(a_bin.accuracy)
    assert scores.calibration_error(bins) == pytest.approx(error)


def test_probabilities_on_an_edge_are_in_the_lower_bin():
    bins = scores.reliability(["a"] * 4, [[0, 0], [0.7, 0.3], [1, 0], [0.5, 0.5]], ["a", "b"])
    assert [a_bin.count for a_bin in bins] == [1, 0, 0, 0, 1, 0, 1, 0, 0, 1]
    assert scores.calibration_error(bins) == pytest.approx((1 + 0.3 + 0 + 0.5) / 4)


def test_certain_and_right_is_no_error_and_no_examples_are_no_number():
    assert scores.calibration_error(scores.reliability(["b"], [[0, 1]], ["a", "b"])) == 0
    assert math.isnan(scores.calibration_error(scores.reliability([], np.zeros((0, 2)), ["a", "b"])))


def test_a_library_that_is_missing_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(UserError, match=r"^a classification's score needs scikit-learn; run launch/setup.sh tasks$"):
        scores.classification(["a"], ["a"], ["a", "b"])
