import pytest

from bert_jax.tasks.task import score
from bert_jax.training.seed_run import SeedScores
from bert_jax.training.task_results import best_seed

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


def test_without_a_dev_file_it_is_the_first():
    assert best_seed(SPEARMAN, [SeedScores(seed, 1, "", {}) for seed in range(2)]) == 0
