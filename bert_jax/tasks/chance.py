"""How far a headline score is chance: of which examples were drawn into the file."""

from collections.abc import Callable, Sequence

import numpy as np

from bert_jax.tasks.classification import Classification
from bert_jax.tasks.examples import QuestionExample, TaggingExample, TextExample
from bert_jax.tasks.multilabel import Multilabel
from bert_jax.tasks.scores.classification import confusion, from_confusion, numbers
from bert_jax.tasks.scores.qa import by_question
from bert_jax.tasks.scores.spread import bootstrap_interval
from bert_jax.tasks.scores.tagging import from_counts, has_spans, span_counts
from bert_jax.tasks.tagging import Tagging
from bert_jax.tasks.task import Example, Prediction, Task

SAMPLES = 200  # of the bootstrap


def interval(task: Task, predictions: Sequence[Prediction], examples: Sequence[Example]) -> tuple[float, float]:
    """The 95 % bootstrap interval of the headline score on one or more examples; NaN where it is not defined."""
    of_some = _scores_of_some(task, predictions, examples)
    name = task.metrics[0].name
    return bootstrap_interval(lambda drawn: of_some(drawn)[name], len(examples), samples=SAMPLES)


def _scores_of_some(
    task: Task, predictions: Sequence[Prediction], examples: Sequence[Example]
) -> Callable[[np.ndarray], dict[str, float]]:
    """The task's scores of the examples of given numbers; where sums of counts give them, those are made once."""
    if isinstance(task, Classification):
        return _from_confusions(task, predictions, examples)
    if isinstance(task, Tagging) and has_spans(task.labels):
        return _from_span_counts(task, predictions, examples)
    if isinstance(task, Multilabel):
        return _from_label_counts(predictions, examples)
    if task.kind == "qa":
        return _from_questions(predictions, examples)

    def score(drawn: np.ndarray) -> dict[str, float]:
        places = drawn.tolist()
        return task.scores([predictions[place] for place in places], [examples[place] for place in places])

    return score


def _from_confusions(
    task: Classification, predictions: Sequence[Prediction], examples: Sequence[TextExample]
) -> Callable[[np.ndarray], dict[str, float]]:
    gold = numbers([example.label for example in examples], task.labels)
    predicted = numbers([each["label"] for each in predictions], task.labels)
    return lambda drawn: from_confusion(confusion(gold[drawn], predicted[drawn], len(task.labels)))


def _from_span_counts(
    task: Tagging, predictions: Sequence[Prediction], examples: Sequence[TaggingExample]
) -> Callable[[np.ndarray], dict[str, float]]:
    gold, predicted = [list(one.tags or ()) for one in examples], [list(each["tags"]) for each in predictions]
    counts = span_counts(gold, predicted, task.convention)
    return lambda drawn: from_counts(counts[drawn])


def _from_label_counts(
    predictions: Sequence[Prediction], examples: Sequence[TextExample]
) -> Callable[[np.ndarray], dict[str, float]]:
    pairs = [(set(each["labels"]), set(one.label)) for each, one in zip(predictions, examples, strict=True)]
    counts = np.array([(len(given & gold), len(given), len(gold)) for given, gold in pairs])
    return lambda drawn: {"micro_f1": from_counts(counts[drawn])["f1"]}


def _from_questions(
    predictions: Sequence[Prediction], examples: Sequence[QuestionExample]
) -> Callable[[np.ndarray], dict[str, float]]:
    golds = [[text for text, _ in one.answers] for one in examples]
    exact, f1 = by_question(golds, [each["answer"] for each in predictions])
    return lambda drawn: {"exact": float(exact[drawn].mean()), "f1": float(f1[drawn].mean())}
