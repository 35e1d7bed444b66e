"""A number for a text or a pair of texts: similarity of two sentences, stars of a review."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np

from bert_jax.config import TaskConfig
from bert_jax.errors import UserError
from bert_jax.objectives.metrics import Metric
from bert_jax.tasks import whole_texts
from bert_jax.tasks.encoding import TextEncoder
from bert_jax.tasks.examples import TextExample
from bert_jax.tasks.given import text_of
from bert_jax.tasks.libraries import check_needed
from bert_jax.tasks.rows import Rows
from bert_jax.tasks.task import Head, Prediction, score, scores_again


@dataclasses.dataclass(frozen=True)
class Regression:
    """Mean and standard deviation of the training labels: the model learns numbers around 0, of the size of 1.

    Of raw labels, such as 1 to 5, it would learn their mean first, for as long as the rate is small.
    """

    mean: float = 0.0
    sd: float = 1.0
    pairs: bool | None = None  # whether it has learned from pairs of texts; None: an earlier version did not keep that
    kind = "regression"
    options = ("columns",)
    head: Head = "sequence"
    loss = "regression"
    reads_all_tokens = windows = False
    default_max_length = None
    makes_vectors = False
    num_outputs = 1

    @property
    def metrics(self) -> Sequence[Metric]:
        """Spearman's correlation leads."""
        return (
            score("spearman", "Spearman correlation", "spearman", unit="number"),
            score("pearson", "Pearson correlation", "pearson", unit="number"),
            score("mse", "Mean squared error", "mse", "lower", unit="number"),
            score("mae", "Mean absolute error", "mae", "lower", unit="number"),
        )

    def settings(self) -> dict[str, Any]:
        """See Task."""
        return {"mean": self.mean, "sd": self.sd, "pairs": self.pairs}

    def read(self, file: str, config: TaskConfig, needs_labels: bool) -> list[TextExample]:
        """See Task."""
        return whole_texts.read(file, config, "number", needs_labels, self.pairs)

    def example(self, given: Any, place: str) -> TextExample:
        """See Task; of a text or a pair of texts."""
        return text_of(given, place, self.pairs)

    def fitted(self, examples: Sequence[TextExample], config: TaskConfig) -> Self:
        """With the scale of the examples; UserError if all have the same number."""
        del config
        labels = np.array([example.label for example in examples])
        if labels.min() == labels.max():
            file = examples[0].place.rpartition(", line")[0]
            raise UserError(f"{file}: each label is {labels[0]:g}, from which nothing is learned; give other examples")
        pairs = whole_texts.are_pairs(examples)
        return dataclasses.replace(self, mean=float(labels.mean()), sd=float(labels.std()), pairs=pairs)

    def for_scoring(self, examples: Sequence[TextExample]) -> Self:
        """As it is: any number will do."""
        check_needed("a regression's score needs", "scipy", "scipy.stats")
        whole_texts.check_pairs(examples, self.pairs)
        return self

    def objective_options(self, examples: Sequence[TextExample], config: TaskConfig) -> dict[str, Any]:
        """None."""
        del examples, config
        return {}

    def encode(self, examples: Sequence[TextExample], encoder: TextEncoder) -> Rows:
        """See Task; labels float32 [rows], on the model's scale."""
        known = all(example.label is not None for example in examples)
        labels = np.array([((example.label or 0.0) - self.mean) / self.sd for example in examples], np.float32)
        return whole_texts.encode(examples, encoder, {"labels": labels} if known else None)

    def predictions(
        self, outputs: Sequence[np.ndarray], rows: Rows, examples: Sequence[TextExample]
    ) -> list[Prediction]:
        """{"score"}, on the scale of the labels; of windows, the mean."""
        numbers = whole_texts.mean_over_windows(outputs, rows, len(examples))[:, 0]
        return [{"score": float(each) * self.sd + self.mean} for each in numbers]

    def tuned(self, predictions: Sequence[Prediction], examples: Sequence[TextExample]) -> Self:
        """As it is: there is no threshold."""
        del predictions, examples
        return self

    def scores(self, predictions: Sequence[Prediction], examples: Sequence[TextExample]) -> dict[str, float]:
        """See Task."""
        from bert_jax.tasks.scores.regression import regression

        return regression([example.label for example in examples], [each["score"] for each in predictions])

    def scorer(
        self, predictions: Sequence[Prediction], examples: Sequence[TextExample]
    ) -> Callable[[np.ndarray], dict[str, float]]:
        """See Task."""
        return scores_again(self, predictions, examples)

    def floors(self, train: Sequence[TextExample], test: Sequence[TextExample]) -> Mapping[str, Mapping[str, float]]:
        """A ridge regression on overlap features (pairs) or TF-IDF (single texts)."""
        from bert_jax.tasks.floors import regression as floors

        gold = [example.label for example in train]
        if whole_texts.are_pairs([*train, *test]):
            found = {"overlap of the texts": floors.pairs(whole_texts.pairs(train), gold, whole_texts.pairs(test))}
        else:
            found = {"TF-IDF": floors.words(whole_texts.joined(train), gold, whole_texts.joined(test))}
        return {name: self.scores([{"score": one} for one in numbers], test) for name, numbers in found.items()}
