"""A student's loss beside a fine-tuned teacher, of every task, against float64 NumPy."""

import jax
import numpy as np
import pytest

from bert_jax.config import TaskDistillationConfig
from bert_jax.objectives.task import TaskObjective
from bert_jax.objectives.task_distillation import TaskDistillationObjective
from bert_jax.objectives.tasks import OBJECTIVES

ROWS, LENGTH, T = 5, 7, 3.0
RANDOM = np.random.default_rng(0)
MASK = np.ones((ROWS, 2, LENGTH), np.int32)
MASK[0, 1] = 0  # a choice that only fills up its row
WEIGHTS = {
    "row_weights": np.float32([1, 1, 1, 1, 0]),
    "example_weights": np.float32([1, 0.5, 0.5, 1, 1]),
}


def labels(most, *shape):
    return RANDOM.integers(0, most, shape).astype(np.int32)


# Task -> shape of its outputs, its labels.
CASES = {
    "classification": ((ROWS, 3), {"labels": labels(3, ROWS)}),
    "multilabel": ((ROWS, 4), {"labels": labels(2, ROWS, 4).astype(np.float32)}),
    "regression": ((ROWS, 1), {"labels": labels(5, ROWS).astype(np.float32)}),
    "choice": ((ROWS, 2), {"labels": 0 * labels(2, ROWS), "attention_mask": MASK}),
    "tagging": ((ROWS, LENGTH, 3), {"token_labels": labels(4, ROWS, LENGTH) - 1}),
    "qa": ((ROWS, LENGTH, 2), {"start_positions": labels(7, ROWS), "end_positions": labels(7, ROWS)}),
}


def distribution(logits):
    exponents = np.exp((logits - logits.max(-1, keepdims=True)) / T)
    return exponents / exponents.sum(-1, keepdims=True)


def divergence(student, teacher):
    student, teacher = distribution(student), distribution(teacher)
    return (teacher * np.log(teacher / student)).sum(-1)


def two_way(logits):
    return np.stack([logits, np.zeros_like(logits)], axis=-1)


def restated(task, student, teacher):
    """Of each element, in float64."""
    if task == "multilabel":
        return divergence(two_way(student), two_way(teacher)).mean(-1)
    if task == "regression":
        return (student - teacher)[:, 0] ** 2 / (2 * T**2)
    if task == "qa":
        return (divergence(student[..., 0], teacher[..., 0]) + divergence(student[..., 1], teacher[..., 1])) / 2
    if task == "choice":
        alone = np.where(MASK.any(-1).sum(-1) > 1, 1.0, 0.0)  # of a single choice there is nothing to learn
        return divergence(student, teacher) * alone
    return divergence(student, teacher)


@pytest.mark.parametrize("task", CASES)
def test_the_loss_is_that_of_float64(model_config, task):
    shape, of_task = CASES[task]
    student, teacher = RANDOM.normal(0, 2, (2, *shape))
    alone = OBJECTIVES[task](model_config, shape[-1], (), "")
    settings = TaskDistillationConfig(temperature=T, kl_weight=0.7, task_weight=0.2)
    objective = TaskDistillationObjective(alone, model_config, settings)
    batch = WEIGHTS | of_task
    sums = objective.sums(student.astype(np.float32), batch | {"teacher_outputs": teacher.astype(np.float32)})
    weights = np.asarray(alone.element_weights(batch), np.float64)
    expected = (restated(task, student, teacher) * weights).sum() / weights.sum()
    hard = float(alone.loss(sums, alone.weights(batch)))
    means = objective.means(jax.tree.map(float, sums))
    assert means["teacher_kl"] == pytest.approx(expected, rel=1e-5)
    assert means["task_loss"] == pytest.approx(hard, rel=1e-6)
    assert float(objective.loss(sums, objective.weights(batch))) == pytest.approx(means["loss"], rel=1e-6)
    assert means["loss"] == pytest.approx(0.2 * hard + 0.7 * T**2 * expected, rel=1e-5)
    same = objective.sums(student.astype(np.float32), batch | {"teacher_outputs": student.astype(np.float32)})
    assert float(same["teacher_kl"]) == pytest.approx(0.0, abs=1e-6)


def test_all_tasks_are_here_that_have_a_distribution_of_their_own():
    assert set(CASES) == {
        name for name, kind in OBJECTIVES.items() if kind.divergences is not TaskObjective.divergences
    }
