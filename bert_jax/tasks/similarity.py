"""Texts as vectors that are near each other where the texts belong together (arXiv 1908.10084): a bi-encoder.

Scored pairs are learned by their order (CoSENT), anchors and positives against the batch's other texts. What was
learned from the ones may be scored on the others.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np

from bert_jax.config import TaskConfig
from bert_jax.errors import UserError
from bert_jax.objectives.metrics import Metric
from bert_jax.tasks.columns import PAIRS_AND_NEGATIVES, Columns
from bert_jax.tasks.encoding import TextEncoder
from bert_jax.tasks.examples import PairExample
from bert_jax.tasks.given import pair_of
from bert_jax.tasks.headers import HAS_HEADER
from bert_jax.tasks.libraries import check_needed
from bert_jax.tasks.pairs import read_pairs
from bert_jax.tasks.ranks import bm25_ranks, nearest_texts, of_ranks, ranks_of_positives
from bert_jax.tasks.rows import EncodedText, Rows, make_rows
from bert_jax.tasks.task import Head, Prediction, score, scores_again

_HEADS: Mapping[str, Head] = {"mean": "embedding", "cls": "embedding_cls", "max": "embedding_max"}


@dataclasses.dataclass(frozen=True)
class Similarity:
    """Which pairs it has learned from, and what of a vector is used."""

    scored: bool = True  # pairs with scores; else anchors with positives
    pooling: str = "mean"  # of the last hidden states, a key of _HEADS
    normalized: bool = True  # vectors are compared at length 1, by their cosine
    pair_loss: str = "cosent"  # of scored pairs: cosent, or cosine, which learns the scores as they are
    lowest: float = 0.0  # score in training, the cosine 0 of pair_loss=cosine
    highest: float = 1.0  # likewise the cosine 1
    scored_pairs: bool | None = None  # whether it is scored on pairs with scores; None: as it has learned
    kind = "similarity"
    options = ("columns", "pooling", "temperature", "pair_loss")
    reads_all_tokens = True
    windows = None
    num_outputs = 0
    default_max_length = None
    makes_vectors = True

    @property
    def head(self) -> Head:
        """By the pooling."""
        return _HEADS[self.pooling]

    @property
    def loss(self) -> str:
        """See Task."""
        return self.pair_loss if self.scored else "contrastive"

    @property
    def metrics(self) -> Sequence[Metric]:
        """Spearman's correlation with the scores leads; of anchors, where their positives rank among all positives."""
        if self._by_scores:
            return (
                score("spearman", "Spearman correlation", "spearman", unit="number"),
                score("pearson", "Pearson correlation", "pearson", unit="number"),
            )
        return (score("mrr", "Mean reciprocal rank", "mrr"), score("accuracy@1", "Accuracy at 1", "acc@1"))

    @property
    def _by_scores(self) -> bool:
        return self.scored if self.scored_pairs is None else self.scored_pairs

    def settings(self) -> dict[str, Any]:
        """See Task."""
        names = ("scored", "pooling", "normalized", "pair_loss", "lowest", "highest", "scored_pairs")
        return {name: getattr(self, name) for name in names}

    def read(self, file: str, config: TaskConfig, needs_labels: bool) -> list[PairExample]:
        """See Task."""
        return read_pairs(
            file, Columns.of(config.columns, PAIRS_AND_NEGATIVES), needs_labels, HAS_HEADER[config.header]
        )

    def example(self, given: Any, place: str) -> PairExample:
        """See Task; of two texts."""
        return PairExample(place, None, *pair_of(given, place, "a pair of texts"), None, ())

    def fitted(self, examples: Sequence[PairExample], config: TaskConfig) -> Self:
        """By whether the examples have scores, and which.

        Raises:
          UserError: all scores are the same, or files of both kinds are mixed.
        """
        pooling, scored = config.pooling or self.pooling, _have_scores(examples)
        task = dataclasses.replace(self, scored=scored, pair_loss=config.pair_loss, pooling=pooling)
        if not task.scored:
            return task
        scores = [example.score for example in examples if example.score is not None]
        if min(scores) == max(scores):
            raise UserError(
                f"{examples[0].place.rpartition(', line')[0]}: all pairs have the score {scores[0]}, of which nothing "
                "is learned; leave its column out"
            )
        return dataclasses.replace(task, lowest=min(scores), highest=max(scores))

    def for_scoring(self, examples: Sequence[PairExample]) -> Self:
        """By whether the examples have scores; UserError if only some have."""
        task = dataclasses.replace(self, scored_pairs=_have_scores(examples))
        if task._by_scores:
            check_needed("a similarity's score needs", "scipy", "scipy.stats")
        return task

    def objective_options(self, examples: Sequence[PairExample], config: TaskConfig) -> dict[str, Any]:
        """The temperature, where the loss has one."""
        del examples
        return {} if self.loss == "cosine" else {"temperature": config.temperature}

    def encode(self, examples: Sequence[PairExample], encoder: TextEncoder) -> Rows:
        """See Task; a row is an example: its two texts, then its negatives, and empty texts after fewer than the most.

        What is too long is cut, never read in windows: the texts of a row are compared. labels float32 [rows], the
        scores, or text_groups int32 [rows, texts]: a number for each different text, 0 where there is none. Texts
        of the same tokens, as in another case, are no different ones: the model cannot tell them apart.
        """
        most = 0 if self.scored else max(len(example.negatives) for example in examples)
        number: dict[str, int] = {}
        of_tokens: dict[tuple[int, ...], int] = {}
        encoded: list[EncodedText] = []  # of each number
        texts: list[EncodedText] = []
        groups = np.zeros((len(examples), 2 + most), np.int32)
        for row, example in enumerate(examples):
            for place, text in enumerate((example.text, example.text2, *example.negatives[:most])):
                if text not in number:
                    one = encoder.rows(text)[0]
                    number[text] = of_tokens.setdefault(tuple(one.ids), len(of_tokens) + 1)
                    if number[text] > len(encoded):
                        encoded.append(one)
                groups[row, place] = number[text]
            texts += [encoded[group - 1] if group else EncodedText([], 0) for group in groups[row].tolist()]
        labels: dict[str, np.ndarray] = {"example_weights": np.ones(len(examples), np.float32)}
        if not self.scored:
            labels["text_groups"] = groups
        elif all(example.score is not None for example in examples):
            labels["labels"] = np.array([self._label(example.score) for example in examples], np.float32)
        return make_rows(texts, range(len(examples)), texts_per_row=2 + most, labels=labels)

    def _label(self, score: float | None) -> float:
        """On the scale of a cosine; CoSENT knows no scale."""
        assert score is not None
        return (score - self.lowest) / (self.highest - self.lowest) if self.pair_loss == "cosine" else score

    def predictions(
        self, outputs: Sequence[np.ndarray], rows: Rows, examples: Sequence[PairExample]
    ) -> list[Prediction]:
        """{"score": the cosine}; of anchors also {"_rank": of the positive among those of all examples, from 1}.

        Of the first few also {"_neighbours": the nearest second texts of all examples, with their cosines}.
        """
        del rows
        vectors = np.stack([each[:2] for each in outputs]).astype(np.float64)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
        cosines = (vectors[:, 0] * vectors[:, 1]).sum(axis=-1)
        found: list[Prediction] = [{"score": float(each)} for each in cosines]
        for row, nearest in nearest_texts(vectors, examples).items():
            found[row]["_neighbours"] = nearest
        if not self._by_scores:
            for prediction, rank in zip(found, ranks_of_positives(vectors, examples), strict=True):
                prediction["_rank"] = rank
        return found

    def tuned(self, predictions: Sequence[Prediction], examples: Sequence[PairExample]) -> Self:
        """As it is: there is no threshold."""
        del predictions, examples
        return self

    def scores(self, predictions: Sequence[Prediction], examples: Sequence[PairExample]) -> dict[str, float]:
        """See Task."""
        if not self._by_scores:
            return of_ranks([each["_rank"] for each in predictions])
        from bert_jax.tasks.scores.regression import regression

        found = regression([example.score or 0.0 for example in examples], [each["score"] for each in predictions])
        return {metric.name: found[metric.name] for metric in self.metrics}

    def scorer(
        self, predictions: Sequence[Prediction], examples: Sequence[PairExample]
    ) -> Callable[[np.ndarray], dict[str, float]]:
        """See Task."""
        return scores_again(self, predictions, examples)

    def floors(self, train: Sequence[PairExample], test: Sequence[PairExample]) -> Mapping[str, Mapping[str, float]]:
        """The cosine of TF-IDF; of anchors, where BM25 ranks their positives."""
        if not self._by_scores:
            return {"BM25": of_ranks(bm25_ranks(test))}
        from bert_jax.tasks.floors.similarity import cosine

        known = [text for example in train for text in (example.text, example.text2)]
        found = cosine(known, [(example.text, example.text2) for example in test])
        return {"TF-IDF cosine": self.scores([{"score": each} for each in found], test)}


def _have_scores(examples: Sequence[PairExample]) -> bool:
    """Whether pairs have scores, by the first; UserError if others differ from it."""
    first = examples[0].score is not None
    for example in examples:
        if (example.score is not None) != first:
            this, others = ("no score", "scores") if first else ("a score", "none")
            raise UserError(f"{example.place} has {this}, and the pairs before have {others}; give pairs alike")
    return first
