"""Words, each label against the rest, on real abstracts."""

import warnings

import numpy as np
import pytest

from bert_jax.config import TaskConfig
from bert_jax.tasks.examples import TextExample
from bert_jax.tasks.floors import multilabel as floors
from bert_jax.tasks.multilabel import Multilabel
from bert_jax.tasks.scores.multilabel import multilabel


@pytest.fixture(scope="module")
def hallmarks(labelled_files):
    """Texts and gold of the training file and of the test file."""
    files = [labelled_files.json_lines(f"hoc/{name}.jsonl.xz") for name in ("train", "test")]
    labels = sorted({label for row in files[0] for label in row["labels"]})
    return [
        part
        for rows in files
        for part in (
            [row["text"] for row in rows],
            np.asarray([[one in row["labels"] for one in labels] for row in rows]),
        )
    ]


def test_hallmarks_of_cancer(hallmarks):
    texts, gold, test_texts, test_gold = hallmarks
    scores = multilabel(test_gold, floors.words(texts, gold, test_texts), 0.5)
    expected = {
        "micro_f1": 0.718,
        "macro_f1": 0.702,
        "micro_average_precision": 0.814,
        "macro_average_precision": 0.814,
    }
    assert {name: round(scores[name], 3) for name in expected} == expected


def test_the_commonest_labels():
    # Each text with "a" alone: F1 of 2 * 4 / (4 + 7); with "b" too, of 2 * 6 / (8 + 7); with all, of 2 * 7 / (12 + 7).
    gold = np.asarray([[1, 0, 0], [1, 1, 0], [1, 1, 1], [1, 0, 0]], bool)
    shares, from_share = floors.commonest(gold)
    assert shares.tolist() == [1, 0.5, 0.25]
    assert from_share == 0.5
    assert multilabel(gold, np.tile(shares, (4, 1)), from_share)["micro_f1"] == pytest.approx(0.8)
    assert floors.commonest(np.ones((3, 2), bool))[1] == 1
    assert floors.commonest(np.eye(5, dtype=bool))[1] == 0.2


def test_a_model_that_gives_all_labels_is_no_better_than_a_floor():
    labels = [("a",), ("a", "b"), ("b", "c"), ("a", "c")]
    examples = [TextExample("", None, "word", None, each) for each in labels]
    task = Multilabel().fitted(examples, TaskConfig())
    everything = [{"probabilities": dict.fromkeys("abc", 0.9), "labels": ["a", "b", "c"]}] * 4
    assert (
        task.floors(examples, examples)["commonest labels"]["micro_f1"] >= task.scores(everything, examples)["micro_f1"]
    )


def test_labels_that_none_or_all_have(monkeypatch):
    texts = ["red words", "blue words", "red and blue", "none"]
    gold = np.asarray([[1, 0, 1, 0], [0, 0, 1, 1], [1, 0, 1, 1], [0, 0, 1, 0]], bool)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = floors.words(texts, gold, ["red", "blue", "?"])
        alone = floors.words(texts, gold[:, :3], ["red", "blue", "?"])
    assert found[:, 1].tolist() == [0, 0, 0]
    assert found[:, 2].tolist() == [1, 1, 1]
    assert found[0, 0] > 0.5 > found[0, 3]
    assert found[1, 3] > 0.5 > found[1, 0]
    np.testing.assert_allclose(alone, found[:, :3])
    assert floors.words(["!"], gold[:1], ["red"]).tolist() == [[1, 0, 1, 0]]
    assert floors.words(texts, gold, []).shape == (0, 4)


def test_many_labels_are_learned_too():
    gold = np.eye(30, dtype=bool)
    texts = [f"the word{number}" for number in range(30)]
    assert floors.words(texts, gold, texts).argmax(axis=1).tolist() == list(range(30))
