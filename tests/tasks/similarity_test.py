"""Pairs as rows, cosines and ranks as predictions, and their scores."""

import dataclasses

import numpy as np
import pytest

from bert_jax.config import TaskConfig, TextConfig
from bert_jax.errors import UserError
from bert_jax.tasks import ranks
from bert_jax.tasks.encoding import TextEncoder
from bert_jax.tasks.examples import PairExample
from bert_jax.tasks.kinds import KINDS, trained_task
from bert_jax.tasks.ranks import bm25_ranks, of_ranks, ranks_of_positives
from bert_jax.tasks.similarity import Similarity
from bert_jax.text.load_tokenizer import load_tokenizer


def pair(text, text2, score=None, negatives=()):
    return PairExample("a.tsv, line 1", None, text, text2, score, negatives)


@pytest.fixture
def encoder():
    return TextEncoder(load_tokenizer("ids:50"), TextConfig(max_length=8), windows=False)


def test_rows_of_anchors(encoder):
    examples = [pair("7", "8 9", negatives=("10",)), pair("11", "8 9"), pair("7", "10", negatives=("11", "12"))]
    task = Similarity().fitted(examples, TaskConfig())
    rows = task.encode(examples, encoder)
    assert (task.loss, task.scored, rows.texts_per_row) == ("contrastive", False, 4)
    assert rows.labels["text_groups"].tolist() == [[1, 2, 3, 0], [4, 2, 0, 0], [1, 3, 4, 5]]
    assert np.diff(rows.starts).tolist() == [3, 4, 3, 0, 3, 4, 0, 0, 3, 3, 3, 3]
    batch = rows.batch([1], 2, 8)
    assert batch["input_ids"].shape == (2, 4, 8)
    assert batch["text_groups"].tolist() == [[4, 2, 0, 0], [0, 0, 0, 0]]
    assert batch["row_weights"].tolist() == [1, 0]


def test_texts_that_the_model_cannot_tell_apart_are_the_same(encoder):
    # Else a positive would be a negative of itself.
    examples = [pair("7", "8"), pair("9", " 8 "), pair("7  ", "5")]
    rows = Similarity(scored=False).encode(examples, encoder)
    assert rows.labels["text_groups"].tolist() == [[1, 2], [3, 2], [1, 4]]
    assert rows.ids[3:6].tolist() == rows.ids[9:12].tolist()


def test_rows_of_scored_pairs(encoder):
    examples = [pair("7", "8", 1.0), pair("7", "7 " * 20, 0.0)]
    task = Similarity().fitted(examples, TaskConfig())
    rows = task.encode(examples, encoder)
    assert (task.loss, rows.texts_per_row, rows.labels["labels"].tolist()) == ("cosent", 2, [1, 0])
    assert encoder.counts.too_long == 1  # cut, though the row before has its text
    unknown = [dataclasses.replace(one, score=None) for one in examples]
    assert "labels" not in task.encode(unknown, encoder).labels


def test_what_a_trained_model_knows():
    task = Similarity(scored=False)
    assert trained_task("similarity", task.settings()) == task
    assert KINDS["similarity"] is Similarity
    assert task.objective_options([], TaskConfig(temperature=0.1)) == {"temperature": 0.1}


def test_the_cosine_loss_learns_scores_from_0_to_1(encoder):
    examples = [pair("7", "8", 1.0), pair("7", "9", 5.0), pair("8", "9", 2.0)]
    task = Similarity().fitted(examples, TaskConfig(pair_loss="cosine"))
    assert (task.loss, task.objective_options(examples, TaskConfig())) == ("cosine", {})
    assert task.encode(examples, encoder).labels["labels"].tolist() == [0, 1, 0.25]
    assert trained_task("similarity", task.settings()) == task


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ([pair("a", "b", 2.0), pair("a", "c", 2.0)], r"a\.tsv: all pairs have the score 2\.0, .*leave its column out"),
        ([pair("a", "b", 2.0), pair("a", "c")], r"line 1 has no score, and the pairs before have scores"),
        ([pair("a", "b"), pair("a", "c", 1.0)], r"line 1 has a score, and the pairs before have none"),
    ],
)
def test_pairs_that_do_not_go_together(examples, message):
    with pytest.raises(UserError, match=message):
        Similarity().fitted(examples, TaskConfig())


def test_scores_of_scored_pairs():
    examples = [pair("a", "b", score) for score in (1.0, 2.0, 3.0, 4.0)]
    vectors = [np.array([[1, 0], [np.cos(angle), np.sin(angle)]], np.float32) for angle in (1.5, 0.5, 1.0, 0.1)]
    task = Similarity()
    predictions = task.predictions(vectors, None, examples)
    assert [each["score"] for each in predictions] == pytest.approx(np.cos([1.5, 0.5, 1.0, 0.1]), abs=1e-6)
    scores = task.scores(predictions, examples)
    assert list(scores) == ["spearman", "pearson"]
    assert scores["spearman"] == pytest.approx(0.8)


def test_what_was_learned_from_positives_is_scored_on_pairs_with_scores_and_the_other_way_round():
    positives, scored = (
        [pair("a", "b"), pair("c", "d")],
        [pair("a", "b", 1.0), pair("c", "d", 2.0), pair("e", "f", 3.0)],
    )
    vectors = [np.array([[1, 0], [np.cos(angle), np.sin(angle)]], np.float32) for angle in (1.5, 0.5, 1.0)]
    task = Similarity().fitted(positives, TaskConfig()).for_scoring(scored)
    assert (task.loss, task.metrics[0].name) == ("contrastive", "spearman")
    assert task.scores(task.predictions(vectors, None, scored), scored)["spearman"] == pytest.approx(0.5)
    assert trained_task("similarity", task.settings()) == task
    task = Similarity().fitted(scored, TaskConfig()).for_scoring(positives)
    assert (task.loss, task.metrics[0].name) == ("cosent", "mrr")
    assert task.scores(task.predictions(vectors[:2], None, positives), positives)["mrr"] > 0
    with pytest.raises(UserError, match="line 1 has no score, and the pairs before have scores"):
        task.for_scoring([scored[0], pair("a", "c")])


def angles(*pairs):
    return np.array([[[np.cos(angle), np.sin(angle)] for angle in pair] for pair in pairs])


def test_ranks():
    # Of "a" the other positive is nearer, of "b" and "d" their own texts are: none of these counts. Of "c" r and s do.
    examples = [pair("a", "p"), pair("a", "q"), pair("b", "r"), pair("c", "b"), pair("d", "s"), pair("e", "d")]
    vectors = angles((0, 0.2), (0, 0.1), (1, 1.4), (2, 1.0), (3, 2.9), (3.1, 3.05))
    assert ranks_of_positives(vectors, examples) == [1, 1, 1, 3, 1, 1]
    assert of_ranks([1, 2, None, 4]) == {"mrr": 1.75 / 4, "accuracy@1": 0.25}
    same = angles((0, 0.1), (0, 0.1))
    assert ranks_of_positives(same, [pair("a", "p"), pair("b", "p")]) == [1, 1]
    task = Similarity(scored=False)
    predictions = task.predictions(list(vectors), None, examples)
    # Of "c" at 2: s at 2.9, r at 1.4, "b" at 1.0 and "d" at 3.05, by their cosines; of the second "a" none.
    nearest = [("r", np.cos(0.6)), ("s", np.cos(0.9)), ("b", np.cos(1.0)), ("d", np.cos(1.05))]
    assert [text for text, _ in predictions[3]["_neighbours"]] == [text for text, _ in nearest]
    np.testing.assert_allclose([each for _, each in predictions[3]["_neighbours"]], [each for _, each in nearest])
    assert "_neighbours" not in predictions[1]
    assert "d" not in [text for text, _ in predictions[4]["_neighbours"]]
    assert task.scores(predictions, examples)["accuracy@1"] == pytest.approx(5 / 6)


def test_ranks_are_those_of_a_loop_over_all_texts(monkeypatch):
    """Also where several rows have a text, and more rows than are compared at a time."""
    monkeypatch.setattr(ranks, "_ROWS", 4)
    random = np.random.default_rng(0)
    numbers = random.integers(0, 9, (30, 2))  # of texts; each is at an angle of its own
    examples = [pair(f"{first}", f"{second}") for first, second in numbers]
    at = random.random(9)
    expected = []
    for first, second in numbers:
        own = {first, *numbers[numbers[:, 0] == first, 1]}
        rivals = {each for each in numbers[:, 1] if each not in own}
        nearer = [each for each in rivals if abs(at[each] - at[first]) < abs(at[second] - at[first])]
        expected.append(1 + len(nearer))
    assert max(expected) > 3
    assert ranks_of_positives(angles(*at[numbers]), examples) == expected


def test_another_positive_of_an_anchor_is_no_rival_of_bm25():
    texts = ["wings lift wings", "wings lift a plane", "a cat sleeps", "a dog runs"]
    examples = [pair("wings lift", texts[0]), pair("wings lift", texts[1]), pair("dog", texts[3])]
    assert bm25_ranks([*examples, pair("cat", texts[2])]) == [1, 1, 1, 1]


def test_equal_cosines_do_not_make_a_positive_the_first():
    # As of texts of unknown words alone, all of the same tokens.
    examples = [pair(f"anchor {number}", f"positive {number}") for number in range(4)]
    assert ranks_of_positives(angles(*[(0, 0.1)] * 4), examples) == [1, 2, 3, 4]
    vectors = angles((0, 0.1), (0, 0.1), (0, 0.2), (0, 0.05))
    assert ranks_of_positives(vectors, examples) == [2, 3, 4, 1]
    same_words = [pair(f"wings {number}", f"wings {number}") for number in "abc"]
    assert bm25_ranks([pair(one.text, f"lift {one.text}") for one in same_words]) == [1, 2, 3]


def test_floors():
    examples = [
        pair("how do wings lift", "a wing gives lift to planes"),
        pair("what is a fuselage", "the fuselage holds passengers"),
        pair("quite unlike anything", "propellers turn"),
    ]
    assert bm25_ranks(examples)[1:] == [1, None]
    assert Similarity(scored=False).floors([], examples)["BM25"]["accuracy@1"] >= 1 / 3
    scored = [pair("a wing", "the wing", 5.0), pair("a wing", "two cats", 0.0), pair("a cat", "two cats", 3.0)]
    assert set(Similarity().floors(scored, scored)["TF-IDF cosine"]) == {"spearman", "pearson"}


def test_the_floor_on_a_real_file(real):
    task = Similarity()
    train, dev = (task.read(real(f"sts/{name}.tsv"), TaskConfig(), True) for name in ("train", "dev"))
    assert task.fitted(train, TaskConfig()).scored
    assert task.floors(train, dev)["TF-IDF cosine"]["spearman"] > 0.6
