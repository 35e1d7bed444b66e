"""Scores of answers, against the official ones as Transformers has them, on real questions with wrong answers."""

import math
import random
from types import SimpleNamespace

import pytest
from transformers.data.metrics import squad_metrics

from bert_jax.tasks.scores import qa as scores


def official(answers, predicted, no_answer_scores=None):
    """Their shares, under our names."""
    examples = [
        SimpleNamespace(qas_id=number, answers=[{"text": text} for text in golds if text])
        for number, golds in enumerate(answers)
    ]
    chances = None if no_answer_scores is None else dict(enumerate(no_answer_scores))
    found = squad_metrics.squad_evaluate(examples, dict(enumerate(predicted)), chances, math.inf)
    shares = {
        name.replace("_thresh", "_threshold"): value if "thresh" in name else value / 100
        for name, value in found.items()
        if "total" not in name
    }
    return shares if chances else {name: value for name, value in shares.items() if "best" not in name}


def wrong_answers(read, seed):
    """Some gold, some part of the context, some nothing, some of another spelling."""
    draw = random.Random(seed)
    answers = []
    for _, context, golds in read:
        words = context.split()
        start = draw.randrange(len(words))
        some = " ".join(words[start : start + draw.randint(1, 6)])
        gold = draw.choice(golds or [""])
        answers.append(
            draw.choice([gold, gold, some, "", f"The {gold.upper()}!", f"{gold} {some}", gold[: len(gold) // 2]])
        )
    return answers


@pytest.mark.parametrize("file", ["squad2/test.json.xz", "squad2/test_other_articles.json"])
@pytest.mark.parametrize("seed", range(3))
def test_scores_equal_the_official_ones(labelled_files, file, seed):
    read = labelled_files.questions(file)
    golds = [answers or [""] for _, _, answers in read]
    predicted = wrong_answers(read, seed)
    draw = random.Random(seed)
    no_answer = [draw.gauss(0, 3) - 2 * bool(answers[0]) for answers in golds]
    assert scores.qa(golds, predicted) == pytest.approx(official(golds, predicted), abs=1e-12)
    assert scores.qa(golds, predicted, no_answer) == pytest.approx(official(golds, predicted, no_answer), abs=1e-12)


@pytest.mark.parametrize(
    ("gold", "predicted", "f1"),
    [
        ("The Normans", "normans.", 1),
        ("a b c", "b c d", 2 * 2 / (2 + 3)),  # "a" is an article
        ("U.S.", "us", 1),
        ("a-b", "b", 0),  # marks are dropped before articles: it is the word "ab"
        ("x x y", "x", 2 * 1 / 4),
        ("", "", 1),
        ("", "something", 0),
        ("the", "", 1),  # nothing is left of it
        ("Zürich", "zürich", 1),
        ("“quoted”", "quoted", 0),  # only ASCII's marks are dropped, as officially
    ],
)
def test_answers_are_bags_of_normalised_words(gold, predicted, f1):
    assert scores.answer_f1(gold, predicted) == pytest.approx(f1)
    assert scores.answer_f1(gold, predicted) == squad_metrics.compute_f1(gold, predicted)


def test_a_question_counts_its_best_gold_answer():
    exact, f1 = scores.by_question([["solar", "solar power"], [""], ["the"]], ["Solar power", "x", ""])
    assert exact.tolist() == [1, 0, 1]
    assert f1.tolist() == [1, 0, 1]


def test_parts_are_there_only_with_questions():
    assert set(scores.qa([["a b"]], ["b"])) == {"exact", "f1", "HasAns_exact", "HasAns_f1"}
    assert set(scores.qa([[""], []], ["b", ""])) == {"exact", "f1", "NoAns_exact", "NoAns_f1"}


def attained(golds, predicted, no_answer, name, threshold):
    kept = ["" if score > threshold else answer for answer, score in zip(predicted, no_answer, strict=True)]
    return scores.qa(golds, kept)[name]


@pytest.mark.parametrize("seed", range(5))
def test_a_threshold_attains_what_is_promised_and_none_does_better(seed):
    draw = random.Random(seed)
    golds = [draw.choice([["x y"], [""]]) for _ in range(30)]
    predicted = [draw.choice(["x", "x y", "z"]) for _ in golds]
    no_answer = [draw.randint(-3, 3) for _ in golds]  # many are equal
    found = scores.qa(golds, predicted, no_answer)
    for name in ("exact", "f1"):
        best = found[f"best_{name}"]
        assert attained(golds, predicted, no_answer, name, found[f"best_{name}_threshold"]) == pytest.approx(best)
        assert max(attained(golds, predicted, no_answer, name, t) for t in range(-4, 4)) == pytest.approx(best)


def test_where_no_answer_is_best_the_threshold_says_so():
    found = scores.qa([[""], [""]], ["x", "y"], [-2.0, -1.0])
    assert found["best_f1"] == 1
    assert found["best_f1_threshold"] < -2
