import numpy as np
import pytest

from bert_jax.tasks.task import score
from bert_jax.training.seed_run import SeedScores
from bert_jax.training.task_results import _spread, best_seed, table

SPEARMAN, MSE = score("spearman", "Spearman", "spearman"), score("mse", "MSE", "mse", "lower")


@pytest.mark.parametrize(
    ("metric", "scores", "place"),
    [
        (SPEARMAN, [-0.1, None], 0),  # an undefined score is no score of 0
        (SPEARMAN, [None, -0.2, -0.1], 2),
        (SPEARMAN, [0.5, 0.5], 0),
        (MSE, [None, 0.3, 0.2], 2),
        (MSE, [None, None], 0),
    ],
)
def test_the_best_seed(metric, scores, place):
    seeds = [SeedScores(seed, 1, "", {}, {metric.name: value}) for seed, value in enumerate(scores)]
    assert best_seed(metric, seeds) == place


def test_an_undefined_score_is_in_no_mean():
    found = _spread([0.5, None, 0.8, 0.5])
    assert found["mean"] == pytest.approx(0.6)
    assert found["sd"] == pytest.approx(np.std([0.5, 0.8, 0.5], ddof=1))
    assert found["each"] == [0.5, None, 0.8, 0.5]


def test_scores_stand_beside_the_floors_of_their_own_file():
    scores = {"spearman": {"mean": 0.5, "sd": None, "each": [0.5]}}
    floors = {"dev": {"words": {"spearman": 0.25}}, "test": {"words": {"spearman": 0.125}}}
    dev, test = table([SPEARMAN], {"dev": scores, "test": scores, "floors": floors})
    assert dev.endswith("0.5000   (floors: words 0.2500)")
    assert test.endswith("0.5000   (floors: words 0.1250)")


def test_without_a_dev_file_it_is_the_first():
    assert best_seed(SPEARMAN, [SeedScores(seed, 1, "", {}) for seed in range(2)]) == 0
