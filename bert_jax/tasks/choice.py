"""One of several continuations of a text (SWAG, COPA; arXiv 1810.04805, section 4.4)."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np

from bert_jax.config import TaskConfig
from bert_jax.objectives.metrics import Metric
from bert_jax.tasks.choices import read_choices
from bert_jax.tasks.columns import CHOICES, Columns
from bert_jax.tasks.encoding import TextEncoder
from bert_jax.tasks.examples import ChoiceExample
from bert_jax.tasks.given import is_texts, not_as_asked
from bert_jax.tasks.headers import HAS_HEADER
from bert_jax.tasks.rows import EncodedText, Rows, make_rows
from bert_jax.tasks.task import Head, Prediction, score, scores_again


@dataclasses.dataclass(frozen=True)
class Choice:
    """Knows nothing but that."""

    kind = "choice"
    options = ("columns",)
    head: Head = "choice"
    loss = "choice"
    reads_all_tokens = False
    windows = None
    default_max_length = None
    makes_vectors = False
    num_outputs = 1

    @property
    def metrics(self) -> Sequence[Metric]:
        """Accuracy."""
        return (score("accuracy", "Accuracy", "acc"),)

    def settings(self) -> dict[str, Any]:
        """See Task."""
        return {}

    def read(self, file: str, config: TaskConfig, needs_labels: bool) -> list[ChoiceExample]:
        """See Task."""
        return read_choices(file, Columns.of(config.columns, CHOICES), needs_labels, HAS_HEADER[config.header])

    def example(self, given: Any, place: str) -> ChoiceExample:
        """See Task; of (text, [choices])."""
        is_pair = isinstance(given, Sequence) and len(given) == 2 and isinstance(given[0], str)
        if is_pair and is_texts(given[1]) and len(given[1]) > 1:
            return ChoiceExample(place, None, given[0], None, tuple(given[1]), None)
        raise not_as_asked(given, place, "(text, [choices]), of two choices or more")

    def fitted(self, examples: Sequence[ChoiceExample], config: TaskConfig) -> Self:
        """As it is."""
        del examples, config
        return self

    def for_scoring(self, examples: Sequence[ChoiceExample]) -> Self:
        """As it is: the reader has seen to it that a label is the number of a choice."""
        del examples
        return self

    def objective_options(self, examples: Sequence[ChoiceExample], config: TaskConfig) -> dict[str, Any]:
        """None."""
        del examples, config
        return {}

    def encode(self, examples: Sequence[ChoiceExample], encoder: TextEncoder) -> Rows:
        """See Task; a row is an example, with a text for each choice, empty ones after fewer choices than the most.

        The first segment is the text, the second what it is followed by. What is too long is cut, never read in
        windows: the choices of a row are compared with each other. labels int32 [rows].
        """
        most = max(len(example.choices) for example in examples)
        texts: list[EncodedText] = []
        for example in examples:
            endings = [f"{example.text2} {choice}" if example.text2 else choice for choice in example.choices]
            texts += [encoder.rows(example.text, ending)[0] for ending in endings]
            texts += [EncodedText([], 0)] * (most - len(endings))
        labels: dict[str, np.ndarray] = {"example_weights": np.ones(len(examples), np.float32)}
        if all(example.label is not None for example in examples):
            labels["labels"] = np.array([example.label for example in examples], np.int32)
        return make_rows(texts, range(len(examples)), texts_per_row=most, labels=labels)

    def predictions(
        self, outputs: Sequence[np.ndarray], rows: Rows, examples: Sequence[ChoiceExample]
    ) -> list[Prediction]:
        """{"label": the number of the likeliest choice, from 0, "probabilities": of each}."""
        del rows
        return [
            _prediction(np.asarray(each[: len(example.choices)], np.float64))
            for each, example in zip(outputs, examples, strict=True)
        ]

    def tuned(self, predictions: Sequence[Prediction], examples: Sequence[ChoiceExample]) -> Self:
        """As it is: there is no threshold."""
        del predictions, examples
        return self

    def scores(self, predictions: Sequence[Prediction], examples: Sequence[ChoiceExample]) -> dict[str, float]:
        """See Task."""
        correct = [each["label"] == example.label for each, example in zip(predictions, examples, strict=True)]
        return {"accuracy": float(np.mean(correct))}

    def scorer(
        self, predictions: Sequence[Prediction], examples: Sequence[ChoiceExample]
    ) -> Callable[[np.ndarray], dict[str, float]]:
        """See Task."""
        return scores_again(self, predictions, examples)

    def floors(
        self, train: Sequence[ChoiceExample], test: Sequence[ChoiceExample]
    ) -> Mapping[str, Mapping[str, float]]:
        """The choice whose words are most like the text's."""
        from bert_jax.tasks.floors.choice import most_similar

        known = [text for example in train for text in (example.text, *example.choices)]
        found = most_similar(known, [one.text for one in test], [one.choices for one in test])
        return {"TF-IDF cosine": self.scores([{"label": one} for one in found], test)}


def _prediction(logits: np.ndarray) -> Prediction:
    exp = np.exp(logits - logits.max())
    return {"label": int(logits.argmax()), "probabilities": (exp / exp.sum()).tolist()}
