"""Scores of answers to questions, as SQuAD 1.1 and 2.0 define them (the official evaluate-v2.0.py)."""

import functools
import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def qa(
    answers: Sequence[Sequence[str]], predicted: Sequence[str], no_answer_scores: Sequence[float] | None = None
) -> dict[str, float]:
    """Scores over one or more questions, as shares (the official program gives percents).

    Args:
      answers: the gold answers of each question; none, or only "", where the text does not answer it.
      predicted: "" says that there is no answer.
      no_answer_scores: the larger, the more likely there is none. They only serve to look for thresholds, for which
        `predicted` should be the best answers that are not "".

    Returns:
      exact and f1; the same with HasAns_ and NoAns_ of the questions with and without an answer, where there are any;
      with no_answer_scores best_exact, best_f1 and best_exact_threshold, best_f1_threshold: what is reached if
      questions with a score above the threshold are answered by "".
    """
    exact, f1 = by_question(answers, predicted)
    answerable = np.asarray([any(golds) for golds in answers], bool)
    scores = {"exact": float(exact.mean()), "f1": float(f1.mean())}
    for name, some in (("HasAns", answerable), ("NoAns", ~answerable)):
        if some.any():
            scores |= {f"{name}_exact": float(exact[some].mean()), f"{name}_f1": float(f1[some].mean())}
    if no_answer_scores is not None:
        given = np.asarray([bool(answer) for answer in predicted])
        for name, values in (("exact", exact), ("f1", f1)):
            gains = np.where(answerable, values, -given.astype(np.float64))
            best, threshold = _best_threshold(np.sum(~answerable), gains, np.asarray(no_answer_scores, np.float64))
            scores[f"best_{name}"] = best / len(values)
            scores[f"best_{name}_threshold"] = threshold
    return scores


def by_question(answers: Sequence[Sequence[str]], predicted: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Exact match and F1 of each question, float64 [questions]: the best over its gold answers."""
    scores = [_best_of(tuple(golds), answer) for golds, answer in zip(answers, predicted, strict=True)]
    exact, f1 = np.asarray(scores, np.float64).reshape(-1, 2).T
    return exact, f1


def normalize(answer: str) -> str:
    """Lower-cased, without ASCII punctuation, then without the words a, an and the, with single spaces."""
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_WITHOUT_PUNCTUATION)).split())


def answer_f1(gold: str, predicted: str) -> float:
    """F1 of the two bags of words, normalised; 1 if both are empty, 0 if one is."""
    gold_words, words = normalize(gold).split(), normalize(predicted).split()
    if not gold_words or not words:
        return float(gold_words == words)
    return 2 * (Counter(gold_words) & Counter(words)).total() / (len(gold_words) + len(words))


@functools.lru_cache(maxsize=100_000)  # drawn samples have the same questions again and again
def _best_of(golds: tuple[str, ...], answer: str) -> tuple[float, float]:
    golds = tuple(gold for gold in golds if normalize(gold)) or ("",)
    exact = max(float(normalize(gold) == normalize(answer)) for gold in golds)
    return exact, max(answer_f1(gold, answer) for gold in golds)


def _best_threshold(without: float, gains: np.ndarray, no_answer_scores: np.ndarray) -> tuple[float, float]:
    """The best sum, and the smallest threshold that reaches it; `without` is the sum if all answers are "".

    Other than in the official program, questions of equal scores are answered together, as a threshold does, and where
    it is best to answer none, the threshold is below all scores (there it is 0, and so it is here if that is below).
    """
    order = np.argsort(no_answer_scores, kind="stable")
    ascending = no_answer_scores[order]
    last_of_equal = np.append(ascending[1:] != ascending[:-1], True)
    sums = np.cumsum([without, *gains[order]])[1:][last_of_equal]
    best = int(np.argmax(sums))
    if sums[best] > without:
        return float(sums[best]), float(ascending[last_of_equal][best])
    return float(without), float(min(0.0, np.nextafter(ascending[0], -np.inf)))
