"""Answers to questions cut out of a text, or none (arXiv 1810.04805, sections 4.2 and 4.3)."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from absl import logging

from bert_jax.config import TaskConfig
from bert_jax.errors import UserError
from bert_jax.objectives.metrics import Metric
from bert_jax.tasks.encoding import TextEncoder
from bert_jax.tasks.examples import QuestionExample
from bert_jax.tasks.given import pair_of
from bert_jax.tasks.qa_answers import best_spans, null_score, prediction
from bert_jax.tasks.qa_windows import encode_questions
from bert_jax.tasks.rows import Rows
from bert_jax.tasks.squad import for_training, read_questions
from bert_jax.tasks.task import Head, Prediction, score


@dataclasses.dataclass(frozen=True)
class Qa:
    """How long questions and answers may be, and when there is no answer."""

    max_query_length: int = 64  # pieces
    max_answer_length: int = 30  # pieces
    has_impossible: bool = False  # among the questions of training; else each question has an answer
    null_threshold: float = 0.0  # no answer where its score is further than this above that of the best answer
    kind = "qa"
    options = ("strict", "max_query_length", "max_answer_length")
    head: Head = "span"
    loss = "qa"
    reads_all_tokens = windows = True
    default_max_length = 384  # the paper's
    makes_vectors = False
    num_outputs = 2  # of each token, as the first and as the last one of an answer

    @property
    def metrics(self) -> Sequence[Metric]:
        """F1 leads. Where some questions have no answer, both kinds apart, and F1 at the threshold of the very file."""
        both = score("f1", "F1 of answers", "f1"), score("exact", "Exact matches", "exact")
        if not self.has_impossible:
            return both
        return (
            *both,
            score("HasAns_f1", "F1, answer exists", "has_f1"),
            score("HasAns_exact", "Exact, answer exists", "has_exact"),
            score("NoAns_f1", "Right, no answer exists", "no_f1"),
            score("best_f1", "F1 at its best threshold", "best_f1"),
            score("best_f1_threshold", "Best threshold", "threshold", unit="number", baseline="", has_chart=False),
        )

    def settings(self) -> dict[str, Any]:
        """See Task."""
        names = ("max_query_length", "max_answer_length", "has_impossible", "null_threshold")
        return {name: getattr(self, name) for name in names}

    def read(self, file: str, config: TaskConfig, needs_labels: bool) -> list[QuestionExample]:
        """See Task."""
        return read_questions(file, needs_labels, config.strict)

    def example(self, given: Any, place: str) -> QuestionExample:
        """See Task; of (question, context)."""
        question, context = pair_of(given, place, "(question, context)")
        return QuestionExample(place, None, question, context, (), is_impossible=False, has_gold=False)

    def fitted(self, examples: Sequence[QuestionExample], config: TaskConfig) -> Self:
        """With the lengths that are asked for, and whether questions may have no answer."""
        if not for_training(examples):
            raise UserError(
                f"--train={config.train}: no question has an answer at its offset; count offsets in characters, from 0"
            )
        return dataclasses.replace(
            self,
            max_query_length=config.max_query_length,
            max_answer_length=config.max_answer_length,
            has_impossible=any(example.is_impossible for example in examples),
        )

    def for_scoring(self, examples: Sequence[QuestionExample]) -> Self:
        """As it is; warns of questions without answers if training had none."""
        impossible = sum(example.is_impossible for example in examples)
        if impossible and not self.has_impossible:
            counts = f"{impossible:,} of {len(examples):,}"
            logging.warning("%s questions have no answer; training had none such, and they are all answered", counts)
        return self

    def objective_options(self, examples: Sequence[QuestionExample], config: TaskConfig) -> dict[str, Any]:
        """None."""
        del examples, config
        return {}

    def encode(self, examples: Sequence[QuestionExample], encoder: TextEncoder) -> Rows:
        """See Task; labels as in encode_questions."""
        return encode_questions(examples, encoder, self.max_query_length)

    def predictions(
        self, outputs: Sequence[np.ndarray], rows: Rows, examples: Sequence[QuestionExample]
    ) -> list[Prediction]:
        """{"answer", "start", "end", "probability", "null_score_difference", "candidates"}, see qa_answers."""
        threshold = self.null_threshold if self.has_impossible else None
        bounds = np.searchsorted(rows.example, np.arange(len(examples) + 1))
        found = []
        for example, start, stop in zip(examples, bounds[:-1], bounds[1:], strict=True):
            logits = outputs[start:stop]
            spans = best_spans(logits, rows.windows[start:stop], example.context, self.max_answer_length)
            found.append(prediction(spans, null_score(logits), example.context, threshold))
        return found

    def tuned(self, predictions: Sequence[Prediction], examples: Sequence[QuestionExample]) -> Self:
        """With the threshold of the best F1, if questions may have no answer."""
        best = self._at_best_threshold(predictions, examples)
        return dataclasses.replace(self, null_threshold=best["best_f1_threshold"]) if best else self

    def scores(self, predictions: Sequence[Prediction], examples: Sequence[QuestionExample]) -> dict[str, float]:
        """See Task. best_f1 and its threshold are of the examples themselves: more than what can be promised."""
        from bert_jax.tasks.scores.qa import qa

        found = qa(_gold(examples), [each["answer"] for each in predictions])
        return found | self._at_best_threshold(predictions, examples)

    def scorer(
        self, predictions: Sequence[Prediction], examples: Sequence[QuestionExample]
    ) -> Callable[[np.ndarray], dict[str, float]]:
        """See Task; without best_f1, which is found on all questions."""
        from bert_jax.tasks.scores.qa import by_question

        exact, f1 = by_question(_gold(examples), [each["answer"] for each in predictions])
        return lambda drawn: {"exact": float(exact[drawn].mean()), "f1": float(f1[drawn].mean())}

    def _at_best_threshold(
        self, predictions: Sequence[Prediction], examples: Sequence[QuestionExample]
    ) -> dict[str, float]:
        """best_exact, best_f1 and their thresholds; {} where no threshold decides anything."""
        from bert_jax.tasks.scores.qa import qa

        differences = [each.get("null_score_difference") for each in predictions]
        if not self.has_impossible or all(one is None for one in differences):
            return {}
        highest = max(one for one in differences if one is not None)
        # What has nothing to answer with is answered by "" at any threshold.
        given = [highest if one is None else one for one in differences]
        best = [next((one["answer"] for one in each["candidates"] if one["answer"]), "") for each in predictions]
        found = qa(_gold(examples), best, given)
        return {name: value for name, value in found.items() if name.startswith("best_")}

    def floors(
        self, train: Sequence[QuestionExample], test: Sequence[QuestionExample]
    ) -> Mapping[str, Mapping[str, float]]:
        """Names and numbers of the sentence that is most like the question; no answer, if there are such questions."""
        from bert_jax.tasks.floors import qa as floors

        del train
        questions, contexts = [one.question for one in test], [one.context for one in test]
        found = {"names and numbers": floors.names_and_numbers(questions, contexts)}
        if self.has_impossible:
            found["no answer"] = floors.empty(len(test))
        return {name: self.scores([{"answer": one} for one in answers], test) for name, answers in found.items()}


def _gold(examples: Sequence[QuestionExample]) -> list[list[str]]:
    """The texts of the answers of each; none where there is no answer."""
    return [[text for text, _ in example.answers] for example in examples]
