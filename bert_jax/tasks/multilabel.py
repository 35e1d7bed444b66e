"""Any number of labels for a text, none too; each with a threshold that the dev file decides."""

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
from bert_jax.tasks.label_names import check_known, in_order
from bert_jax.tasks.libraries import check_needed
from bert_jax.tasks.rows import Rows
from bert_jax.tasks.scores.tagging import from_counts
from bert_jax.tasks.task import Head, Prediction, score


@dataclasses.dataclass(frozen=True)
class Multilabel:
    """Its label names in the order of the model's outputs, and the probability from which each is given."""

    labels: tuple[str, ...] = ()
    thresholds: tuple[float, ...] = ()
    pairs: bool | None = None  # whether it has learned from pairs of texts; None: an earlier version did not keep that
    kind = "multilabel"
    options = ("columns", "class_weights")
    head: Head = "sequence"
    loss = "multilabel"
    reads_all_tokens = windows = False
    default_max_length = None
    makes_vectors = False

    @property
    def num_outputs(self) -> int:
        """One for each label."""
        return len(self.labels)

    @property
    def metrics(self) -> Sequence[Metric]:
        """Micro F1 leads."""
        return (
            score("micro_f1", "Micro F1", "micro_f1"),
            score("macro_f1", "Macro F1", "macro_f1"),
            score("micro_average_precision", "Average precision, micro", "micro_ap"),
            score("macro_average_precision", "Average precision, macro", "macro_ap"),
            score("micro_roc_auc", "ROC AUC, micro", "roc_auc"),
            score("precision_at_1", "Precision of the first label", "p@1"),
            score("subset_accuracy", "All labels right", "subset"),
        )

    def settings(self) -> dict[str, Any]:
        """See Task."""
        return {"labels": list(self.labels), "thresholds": list(self.thresholds), "pairs": self.pairs}

    def read(self, file: str, config: TaskConfig, needs_labels: bool) -> list[TextExample]:
        """See Task."""
        return whole_texts.read(file, config, "labels", needs_labels, self.pairs)

    def example(self, given: Any, place: str) -> TextExample:
        """See Task; of a text or a pair of texts."""
        return text_of(given, place, self.pairs)

    def fitted(self, examples: Sequence[TextExample], config: TaskConfig) -> Self:
        """With the labels of the examples, given from a probability of 0.5."""
        del config
        names = in_order(label for example in examples for label in example.label)
        if not names:
            file = examples[0].place.rpartition(", line")[0]
            raise UserError(f"{file}: no row has a label; give the right column with --columns=label:NAME")
        pairs = whole_texts.are_pairs(examples)
        return dataclasses.replace(self, labels=names, thresholds=(0.5,) * len(names), pairs=pairs)

    def for_scoring(self, examples: Sequence[TextExample]) -> Self:
        """See Task."""
        check_needed("a multilabel score needs", "scikit-learn", "sklearn.metrics")
        whole_texts.check_pairs(examples, self.pairs)
        check_known(((one.place, label) for one in examples for label in one.label or ()), self.labels)
        return self

    def objective_options(self, examples: Sequence[TextExample], config: TaskConfig) -> dict[str, Any]:
        """Weights of the labels, if they are asked for: rows without it / rows with it, at most 100."""
        if config.class_weights == "none":
            return {}
        counts = self._gold(examples).sum(axis=0)
        return {"class_weights": tuple(np.clip((len(examples) - counts) / np.maximum(counts, 1), 1.0, 100.0).tolist())}

    def encode(self, examples: Sequence[TextExample], encoder: TextEncoder) -> Rows:
        """See Task; labels float32 [rows, labels]."""
        known = all(example.label is not None for example in examples)
        gold = {"labels": self._gold(examples).astype(np.float32)} if known else None
        return whole_texts.encode(examples, encoder, gold)

    def _gold(self, examples: Sequence[TextExample]) -> np.ndarray:
        """Bool [examples, labels]."""
        return np.array([[label in example.label for label in self.labels] for example in examples])

    def predictions(
        self, outputs: Sequence[np.ndarray], rows: Rows, examples: Sequence[TextExample]
    ) -> list[Prediction]:
        """{"labels": those that are given, "probabilities": of each}; of windows, from the mean of their logits."""
        logits = whole_texts.mean_over_windows(outputs, rows, len(examples))
        probabilities = 1.0 / (1.0 + np.exp(-logits))
        return [self._prediction(each) for each in probabilities]

    def _prediction(self, probabilities: np.ndarray) -> Prediction:
        given = probabilities >= np.asarray(self.thresholds)
        return {
            "labels": [label for label, is_given in zip(self.labels, given, strict=True) if is_given],
            "probabilities": dict(zip(self.labels, probabilities.tolist(), strict=True)),
        }

    def tuned(self, predictions: Sequence[Prediction], examples: Sequence[TextExample]) -> Self:
        """With one threshold for all labels, the one of the best micro F1: a threshold each overfits rare labels."""
        from bert_jax.tasks.scores.multilabel import best_threshold

        best = best_threshold(self._gold(examples), _probabilities(predictions))
        return dataclasses.replace(self, thresholds=(float(best),) * len(self.labels))

    def scores(self, predictions: Sequence[Prediction], examples: Sequence[TextExample]) -> dict[str, float]:
        """See Task."""
        from bert_jax.tasks.scores.multilabel import multilabel

        return multilabel(self._gold(examples), _probabilities(predictions), np.asarray(self.thresholds))

    def scorer(
        self, predictions: Sequence[Prediction], examples: Sequence[TextExample]
    ) -> Callable[[np.ndarray], dict[str, float]]:
        """See Task; the headline alone."""
        pairs = [(set(each["labels"]), set(one.label)) for each, one in zip(predictions, examples, strict=True)]
        counts = np.array([(len(given & gold), len(given), len(gold)) for given, gold in pairs])
        return lambda drawn: {"micro_f1": from_counts(counts[drawn])["f1"]}

    def floors(self, train: Sequence[TextExample], test: Sequence[TextExample]) -> Mapping[str, Mapping[str, float]]:
        """The commonest labels for each text, and TF-IDF with a logistic regression for each label."""
        from bert_jax.tasks.floors.multilabel import commonest, words

        shares, from_share = commonest(self._gold(train))
        found = words(whole_texts.joined(train), self._gold(train), whole_texts.joined(test))
        return {
            "commonest labels": self._floor(np.tile(shares, (len(test), 1)), from_share, test),
            "TF-IDF": self._floor(found, 0.5, test),
        }

    def _floor(self, probabilities: np.ndarray, threshold: float, test: Sequence[TextExample]) -> dict[str, float]:
        task = dataclasses.replace(self, thresholds=(threshold,) * len(self.labels))
        return task.scores([task._prediction(each) for each in probabilities], test)


def _probabilities(predictions: Sequence[Prediction]) -> np.ndarray:
    """[examples, labels]."""
    return np.array([list(each["probabilities"].values()) for each in predictions])
