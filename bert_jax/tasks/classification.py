"""One label of several for a text or a pair of texts (arXiv 1810.04805, section 4.1)."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np

from bert_jax.config import TaskConfig
from bert_jax.objectives.metrics import Metric
from bert_jax.tasks import whole_texts
from bert_jax.tasks.encoding import TextEncoder
from bert_jax.tasks.examples import TextExample
from bert_jax.tasks.given import text_of
from bert_jax.tasks.label_names import check_known, check_several, in_order
from bert_jax.tasks.libraries import check_needed
from bert_jax.tasks.rows import Rows
from bert_jax.tasks.task import Head, Prediction, score


@dataclasses.dataclass(frozen=True)
class Classification:
    """Its label names, in the order of the model's outputs."""

    labels: tuple[str, ...] = ()
    pairs: bool | None = None  # whether it has learned from pairs of texts; None: an earlier version did not keep that
    kind = "classification"
    options = ("columns", "class_weights")
    head: Head = "sequence"
    loss = "classification"
    reads_all_tokens = windows = False
    default_max_length = None
    makes_vectors = False

    @property
    def num_outputs(self) -> int:
        """One for each label."""
        return len(self.labels)

    @property
    def metrics(self) -> Sequence[Metric]:
        """Accuracy leads; F1 of the second of two labels, as GLUE has it, where there are two."""
        binary = [score("f1", f"F1 of {self.labels[1]!r}", "f1")] if len(self.labels) == 2 else []
        return (
            score("accuracy", "Accuracy", "acc"),
            score("macro_f1", "Macro F1", "macro_f1"),
            *binary,
            score("matthews", "Matthews correlation", "mcc", unit="number"),
        )

    def settings(self) -> dict[str, Any]:
        """See Task."""
        return {"labels": list(self.labels), "pairs": self.pairs}

    def read(self, file: str, config: TaskConfig, needs_labels: bool) -> list[TextExample]:
        """See Task."""
        return whole_texts.read(file, config, "class", needs_labels, self.pairs)

    def example(self, given: Any, place: str) -> TextExample:
        """See Task; of a text or a pair of texts."""
        return text_of(given, place, self.pairs)

    def fitted(self, examples: Sequence[TextExample], config: TaskConfig) -> Self:
        """With the labels of the examples."""
        del config
        names = in_order(example.label for example in examples)
        check_several(names, examples[0].place.rpartition(", line")[0])
        return dataclasses.replace(self, labels=names, pairs=whole_texts.are_pairs(examples))

    def for_scoring(self, examples: Sequence[TextExample]) -> Self:
        """See Task."""
        check_needed("a classification's score needs", "scikit-learn", "sklearn.metrics")
        whole_texts.check_pairs(examples, self.pairs)
        check_known(((one.place, one.label) for one in examples if one.label is not None), self.labels)
        return self

    def objective_options(self, examples: Sequence[TextExample], config: TaskConfig) -> dict[str, Any]:
        """Weights of the classes, if they are asked for: rows / (classes * rows of the class), as in scikit-learn."""
        if config.class_weights == "none":
            return {}
        counts = np.bincount(self._numbers(examples), minlength=len(self.labels))
        return {"class_weights": tuple((len(examples) / (len(counts) * np.maximum(counts, 1))).tolist())}

    def encode(self, examples: Sequence[TextExample], encoder: TextEncoder) -> Rows:
        """See Task; labels int32 [rows]."""
        known = {example.label for example in examples} <= set(self.labels)  # a file to predict may have others
        return whole_texts.encode(examples, encoder, {"labels": self._numbers(examples)} if known else None)

    def _numbers(self, examples: Sequence[TextExample]) -> np.ndarray:
        number = {label: place for place, label in enumerate(self.labels)}
        return np.array([number[example.label] for example in examples], np.int32)

    def predictions(
        self, outputs: Sequence[np.ndarray], rows: Rows, examples: Sequence[TextExample]
    ) -> list[Prediction]:
        """{"label", "probabilities": of each label}; of windows, from the mean of their logits."""
        logits = whole_texts.mean_over_windows(outputs, rows, len(examples))
        exp = np.exp(logits - logits.max(axis=1, keepdims=True))
        return [
            {
                "label": self.labels[int(each.argmax())],
                "probabilities": dict(zip(self.labels, each.tolist(), strict=True)),
            }
            for each in exp / exp.sum(axis=1, keepdims=True)
        ]

    def tuned(self, predictions: Sequence[Prediction], examples: Sequence[TextExample]) -> Self:
        """As it is: there is no threshold."""
        del predictions, examples
        return self

    def scores(self, predictions: Sequence[Prediction], examples: Sequence[TextExample]) -> dict[str, float]:
        """See Task."""
        from bert_jax.tasks.scores.classification import classification

        gold = [example.label for example in examples]
        return classification(gold, [each["label"] for each in predictions], self.labels)

    def scorer(
        self, predictions: Sequence[Prediction], examples: Sequence[TextExample]
    ) -> Callable[[np.ndarray], dict[str, float]]:
        """See Task."""
        from bert_jax.tasks.scores.classification import confusion, from_confusion, numbers

        gold = numbers([example.label for example in examples], self.labels)
        predicted = numbers([each["label"] for each in predictions], self.labels)
        return lambda drawn: from_confusion(confusion(gold[drawn], predicted[drawn], len(self.labels)))

    def floors(self, train: Sequence[TextExample], test: Sequence[TextExample]) -> Mapping[str, Mapping[str, float]]:
        """The commonest label, and TF-IDF with logistic regression (pairs: overlap features)."""
        from bert_jax.tasks.floors import classification as floors

        gold = [example.label for example in train]
        found = {"commonest label": floors.majority(gold, len(test))}
        if whole_texts.are_pairs([*train, *test]):
            found["overlap of the texts"] = floors.pairs(whole_texts.pairs(train), gold, whole_texts.pairs(test))
        texts, test_texts = whole_texts.joined(train), whole_texts.joined(test)
        found["TF-IDF"] = floors.words(texts, gold, test_texts)
        return {name: self.scores([{"label": one} for one in labels], test) for name, labels in found.items()}
