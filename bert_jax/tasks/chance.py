"""How far a headline score is chance: of which examples were drawn into the file."""

from collections.abc import Sequence

from bert_jax.tasks.scores.spread import bootstrap_interval
from bert_jax.tasks.task import Example, Prediction, Task

SAMPLES = 200  # of the bootstrap


def interval(task: Task, predictions: Sequence[Prediction], examples: Sequence[Example]) -> tuple[float, float]:
    """The 95 % bootstrap interval of the headline score on one or more examples; NaN where it is not defined."""
    scores, headline = task.scorer(predictions, examples), task.metrics[0].name
    return bootstrap_interval(lambda drawn: scores(drawn)[headline], len(examples), samples=SAMPLES)
