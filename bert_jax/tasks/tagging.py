"""A tag for each word: entities, parts of speech, chunks (arXiv 1810.04805, section 5.3: no CRF, first pieces)."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
from absl import logging

from bert_jax.config import TaskConfig
from bert_jax.errors import UserError
from bert_jax.objectives.metrics import Metric
from bert_jax.tasks.columns import TAGGED_WORDS, Columns
from bert_jax.tasks.conll import read_tagging
from bert_jax.tasks.encoding import TextEncoder
from bert_jax.tasks.examples import TaggingExample
from bert_jax.tasks.given import is_texts, not_as_asked
from bert_jax.tasks.headers import HAS_HEADER
from bert_jax.tasks.label_names import check_known, check_several, in_order
from bert_jax.tasks.libraries import check_needed
from bert_jax.tasks.rows import IGNORED, Rows, make_rows
from bert_jax.tasks.scores.tagging import from_counts, span_counts, tagging, word_scores
from bert_jax.tasks.tags import are_mostly_spans, are_spans, is_odd, is_of_known_type, tag_scheme
from bert_jax.tasks.task import Head, Prediction, score, scores_again
from bert_jax.tasks.word_rows import word_rows

_OF_SPANS, _OF_WORDS = ("seqeval", "seqeval.scheme"), ("scikit-learn", "sklearn.metrics")  # what scores them


@dataclasses.dataclass(frozen=True)
class Tagging:
    """Its tags in the order of the model's outputs, and how entities are counted."""

    labels: tuple[str, ...] = ()
    convention: Literal["conlleval", "strict"] = "conlleval"
    kind = "tagging"
    options = ("columns", "tag_scores")
    head: Head = "token"
    loss = "tagging"
    reads_all_tokens = windows = True
    default_max_length = None
    makes_vectors = False

    @property
    def num_outputs(self) -> int:
        """One for each tag."""
        return len(self.labels)

    @property
    def metrics(self) -> Sequence[Metric]:
        """F1 of entities, in the convention that is asked for, or accuracy where tags are of words."""
        if not are_spans(self.labels):
            return score("accuracy", "Accuracy of words", "acc"), score("macro_f1", "Macro F1 of tags", "macro_f1")
        return (
            score("f1", f"F1 of entities ({self.convention})", "f1"),
            score("precision", "Precision of entities", "precision"),
            score("recall", "Recall of entities", "recall"),
        )

    def settings(self) -> dict[str, Any]:
        """See Task."""
        return {"labels": list(self.labels), "convention": self.convention}

    def read(self, file: str, config: TaskConfig, needs_labels: bool) -> list[TaggingExample]:
        """See Task."""
        columns, header = Columns.of(config.columns, TAGGED_WORDS), HAS_HEADER[config.header]
        return read_tagging(file, columns, needs_labels, self._may_be if self.labels else None, header)

    def example(self, given: Any, place: str) -> TaggingExample:
        """See Task; of a sentence's words."""
        if not is_texts(given) or not given or not all(given):
            raise not_as_asked(given, place, "a list of words, none of them empty")
        return TaggingExample(place, None, tuple(given), None)

    def fitted(self, examples: Sequence[TaggingExample], config: TaskConfig) -> Self:
        """With the tags of the examples, and the convention that is asked for.

        Among tags of spans, one that marks none is a mistake (conll.py logs it): no label, in no loss, and O in scores.
        """
        given = [tag for example in examples for tag in example.tags or ()]
        is_none = is_odd if are_mostly_spans(given) else lambda tag: False
        if config.tag_scores == "strict":
            _check_begin(examples)
        names = in_order(tag for tag in given if not is_none(tag))
        check_several(names, examples[0].place.rpartition(", line")[0])
        return dataclasses.replace(self, labels=names, convention=config.tag_scores)

    def for_scoring(self, examples: Sequence[TaggingExample]) -> Self:
        """See Task; tags of spans that were trained on, such as I-LST where only B-LST was, are logged.

        As in training, a tag of no span among tags of spans is a mistake.
        """
        check_needed("a tagging's score needs", *(_OF_SPANS if are_spans(self.labels) else _OF_WORDS))
        given = [(one.place, tag) for one in examples for tag in one.tags or ()]
        if are_mostly_spans([tag for _, tag in given]):
            given = [each for each in given if not self._is_mistake(each[1])]
        check_known((each for each in given if not self._may_be(each[1])), self.labels)
        if unseen := [each for each in given if each[1] not in self.labels]:
            names = ", ".join(sorted({tag for _, tag in unseen}))
            logging.warning("%s: the tag %s is not in the training file, so it is never predicted", unseen[0][0], names)
        return self

    def _may_be(self, tag: str) -> bool:
        """Whether a word to be scored may have the tag."""
        return tag in self.labels or (are_spans(self.labels) and is_of_known_type(tag, self.labels))

    def _may_be_read(self, tag: str) -> bool:
        """Likewise of one to be trained on."""
        return self._may_be(tag) or self._is_mistake(tag)

    def _is_mistake(self, tag: str) -> bool:
        return are_spans(self.labels) and is_odd(tag)

    def gold_tags(self, examples: Sequence[TaggingExample]) -> list[list[str]]:
        """The tags of each as scores take them: mistakes are O."""
        return [["O" if self._is_mistake(tag) else tag for tag in one.tags or ()] for one in examples]

    def objective_options(self, examples: Sequence[TaggingExample], config: TaskConfig) -> dict[str, Any]:
        """None."""
        del examples, config
        return {}

    def encode(self, examples: Sequence[TaggingExample], encoder: TextEncoder) -> Rows:
        """See Task; token_labels of first pieces, each in one row only."""
        number = {tag: place for place, tag in enumerate(self.labels)}
        # If not, they are to be predicted, whatever stands there.
        known = all(one.tags is not None and all(map(self._may_be_read, one.tags)) for one in examples)
        found = [(place, row) for place, one in enumerate(examples) for row in word_rows(one.words, encoder)]
        of_words = [[number.get(tag, IGNORED) for tag in one.tags or ()] if known else None for one in examples]
        return make_rows(
            [row.text for _, row in found],
            [place for place, _ in found],
            token_labels=[row.labels(of_words[place]) for place, row in found],
            windows=[row for _, row in found],
        )

    def predictions(
        self, outputs: Sequence[np.ndarray], rows: Rows, examples: Sequence[TaggingExample]
    ) -> list[Prediction]:
        """{"tags": one a word, "probabilities": of each}; a word that was not read has the tag O, or the first."""
        unread = "O" if "O" in self.labels else self.labels[0]
        found: list[Prediction] = [
            {"tags": [unread] * len(one.words), "probabilities": [0.0] * len(one.words)} for one in examples
        ]
        for place, row, logits in zip(rows.example, rows.windows, outputs, strict=True):
            of_words = np.asarray(logits, np.float64)[row.positions]
            exp = np.exp(of_words - of_words.max(axis=1, keepdims=True, initial=-np.inf))
            shares = exp / exp.sum(axis=1, keepdims=True)
            for word, share in zip(row.words, shares, strict=True):
                found[place]["tags"][word] = self.labels[int(share.argmax())]
                found[place]["probabilities"][word] = float(share.max())
        return found

    def tuned(self, predictions: Sequence[Prediction], examples: Sequence[TaggingExample]) -> Self:
        """As it is: there is no threshold."""
        del predictions, examples
        return self

    def scores(self, predictions: Sequence[Prediction], examples: Sequence[TaggingExample]) -> dict[str, float]:
        """See Task."""
        gold, predicted = self.gold_tags(examples), [list(each["tags"]) for each in predictions]
        if not are_spans(self.labels):
            return word_scores(gold, predicted)
        return tagging(gold, predicted, self.convention)

    def scorer(
        self, predictions: Sequence[Prediction], examples: Sequence[TaggingExample]
    ) -> Callable[[np.ndarray], dict[str, float]]:
        """See Task."""
        if not are_spans(self.labels):
            return scores_again(self, predictions, examples)
        counts = span_counts(self.gold_tags(examples), [each["tags"] for each in predictions], self.convention)
        return lambda drawn: from_counts(counts[drawn])

    def floors(
        self, train: Sequence[TaggingExample], test: Sequence[TaggingExample]
    ) -> Mapping[str, Mapping[str, float]]:
        """The most frequent tag of each word; for entities, those of training found again."""
        from bert_jax.tasks.floors.tagging import longest_match, most_frequent_tag

        words, tags = [one.words for one in train], self.gold_tags(train)
        test_words = [one.words for one in test]
        found = {"most frequent tag of the word": most_frequent_tag(words, tags, test_words)}
        if are_spans(self.labels):
            found["entities of training"] = longest_match(words, tags, test_words)
        return {name: self.scores([{"tags": each} for each in tagged], test) for name, tagged in found.items()}


def _check_begin(examples: Sequence[TaggingExample]) -> None:
    """Raise UserError where entities begin with I-, of which the strict convention counts none."""
    scheme = tag_scheme([one.tags or () for one in examples])
    if scheme in ("IO", "IOB1"):
        file = examples[0].place.rpartition(", line")[0]
        raise UserError(
            f"--config.task.tag_scores=strict counts no entity that begins with I-, and those of {file} do ({scheme}); "
            "leave it out"
        )
