"""Every task on whole texts and words: labels in order, outputs to predictions, windows, scores."""

import dataclasses
import logging
import sys

import numpy as np
import pytest

from bert_jax.config import FineTuningConfig, TaskConfig, TextConfig
from bert_jax.errors import UserError
from bert_jax.interchange.huggingface_tasks import CLASSES
from bert_jax.interchange.task_card import PIPELINES
from bert_jax.reporting.answers.parts_of import _PARTS
from bert_jax.reporting.fine_tuning_files import _LINES
from bert_jax.tasks.choice import Choice
from bert_jax.tasks.classification import Classification
from bert_jax.tasks.encoding import TextEncoder
from bert_jax.tasks.examples import ChoiceExample, TaggingExample, TextExample
from bert_jax.tasks.kinds import KINDS, trained_task
from bert_jax.tasks.label_names import in_order
from bert_jax.tasks.multilabel import Multilabel
from bert_jax.tasks.regression import Regression
from bert_jax.tasks.rows import IGNORED
from bert_jax.tasks.tagging import Tagging
from bert_jax.tasks.task_files import TaskFiles, digest, digest_of_examples, in_both_orders
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.training.finetuning import _rows

WORDS = ["good", "bad", "film", "a", "very"]


@pytest.fixture
def encode(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]) + "\n")
    tokenizer = load_tokenizer(tmp_path / "vocab.txt")

    def encode(task, examples, max_length=8, long="windows"):
        text = TextConfig(max_length=max_length, long=long, window_overlap=1)
        return task.encode(examples, TextEncoder(tokenizer, text, task.windows))

    return encode


def texts(*labelled):
    return [TextExample(f"f.tsv, line {n}", None, text, None, label) for n, (text, label) in enumerate(labelled, 1)]


@pytest.mark.parametrize("table", [CLASSES, PIPELINES, _PARTS, _LINES], ids=["classes", "pipelines", "parts", "lines"])
def test_every_task_is_in_the_tables_of_other_rooms(table):
    assert set(table) == set(KINDS)


def test_labels_are_in_order_and_numbers_by_value():
    examples = texts(("a", "10"), ("a", "9"), ("a", "0"), ("a", "-1"))
    assert Classification().fitted(examples, TaskConfig()).labels == ("-1", "0", "9", "10")
    assert Classification().fitted(texts(("a", "pos"), ("a", "neg")), TaskConfig()).labels == ("neg", "pos")


def test_the_f1_of_two_labels_says_that_it_is_the_seconds():
    task = Classification(labels=("neg", "pos"))
    (title,) = [metric.title for metric in task.metrics if metric.name == "f1"]
    assert title == "F1 of 'pos'"
    found = task.scores([{"label": "pos"}] * 3, texts(("a", "pos"), ("a", "pos"), ("a", "neg")))
    assert found["f1"] == pytest.approx(0.8)


def test_one_label_alone_and_unknown_ones_are_refused():
    with pytest.raises(UserError, match=r"^f.tsv: all rows have the label 'x'"):
        Classification().fitted(texts(("a", "x"), ("b", "x")), TaskConfig())
    task = Classification(labels=("neg", "pos"))
    with pytest.raises(UserError, match=r"^f.tsv, line 2: the label 'positive' is none that was trained on"):
        task.for_scoring(texts(("a", "neg"), ("a", "positive")))
    with pytest.raises(UserError, match=r"the label 'poss'.*did it mean 'pos'"):
        task.for_scoring(texts(("a", "poss")))


@pytest.mark.parametrize(
    ("task", "examples", "module", "line"),
    [
        (
            Classification(labels=("x", "y")),
            texts(("a", "x")),
            "sklearn.metrics",
            "a classification's score needs scikit",
        ),
        (
            Multilabel(labels=("x", "y")),
            texts(("a", ("x",))),
            "sklearn.metrics",
            "a multilabel score needs scikit-learn",
        ),
        (Regression(), texts(("a", 1.0)), "scipy.stats", "a regression's score needs scipy"),
        (
            Tagging(labels=("B-x", "O")),
            [TaggingExample("f", None, ("a",), ("O",))],
            "seqeval.scheme",
            "score needs seqe",
        ),
        (
            Tagging(labels=("x", "y")),
            [TaggingExample("f", None, ("a",), ("x",))],
            "sklearn.metrics",
            "score needs scikit",
        ),
    ],
    ids=["classification", "multilabel", "regression", "spans", "words"],
)
def test_a_scores_library_is_missed_before_the_model_computes(monkeypatch, task, examples, module, line):
    assert task.for_scoring(examples) == task
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=line):
        task.for_scoring(examples)


def test_windows_of_a_text_count_once_and_are_averaged(encode):
    task = Classification(labels=("bad", "good"))
    examples = texts(("good film", "good"), ("bad " * 12, "bad"), ("a", "bad"))
    rows = encode(task, examples)
    assert np.bincount(rows.example)[1] > 1
    sums = np.bincount(rows.example, rows.labels["example_weights"])
    np.testing.assert_allclose(sums, 1.0, rtol=1e-6)
    outputs = [np.array([0.0, 2.0 * (row + 1)]) for row in range(len(rows))]
    found = task.predictions(outputs, rows, examples)
    logits = np.mean([outputs[row][1] for row in np.flatnonzero(rows.example == 1)])
    assert found[1]["probabilities"]["good"] == pytest.approx(1 / (1 + np.exp(-logits)))
    assert [each["label"] for each in found] == ["good", "good", "good"]
    assert task.scores(found, examples)["accuracy"] == pytest.approx(1 / 3)


def test_balanced_weights_are_scikit_learns():
    utils = pytest.importorskip("sklearn.utils.class_weight")
    examples = texts(*[("a", "x")] * 7, *[("a", "y")] * 3)
    task = Classification().fitted(examples, TaskConfig())
    weights = task.objective_options(examples, TaskConfig(class_weights="balanced"))["class_weights"]
    gold = [example.label for example in examples]
    np.testing.assert_allclose(weights, utils.compute_class_weight("balanced", classes=np.array(["x", "y"]), y=gold))


def test_weights_of_several_labels_are_rows_without_over_rows_with():
    """As torch says of pos_weight; none below 1, and none above 100."""
    rows = [*[("x", "z")] * 2, *[("y", "z")] * 5, ("z",)]
    examples = texts(*[("a", labels) for labels in rows])
    task = Multilabel().fitted(examples, TaskConfig())
    weights = task.objective_options(examples, TaskConfig(class_weights="balanced"))["class_weights"]
    assert weights == pytest.approx((6 / 2, 1.0, 1.0))
    examples = texts(("a", ("x",)), *[("a", ("y",))] * 150)
    weights = task.fitted(examples, TaskConfig()).objective_options(examples, TaskConfig(class_weights="balanced"))
    assert weights["class_weights"] == (100.0, 1.0)


def test_labels_that_no_row_has_are_refused():
    with pytest.raises(UserError, match=r"^f\.tsv: no row has a label; give the right column with --columns"):
        Multilabel().fitted(texts(("good", ()), ("bad", ())), TaskConfig())


def test_pairs_are_learned_in_both_orders_and_scored_in_their_own(encode, tmp_path):
    pairs = [
        TextExample(f"f, line {n}", None, *pair, "xy"[n % 2]) for n, pair in enumerate([("good", "bad"), ("a", "film")])
    ]
    files = TaskFiles(Classification().fitted(pairs, TaskConfig()), pairs, pairs, pairs)
    config = FineTuningConfig(TaskConfig(double_unordered=True), TextConfig(max_length=8))
    tokenizer = load_tokenizer(tmp_path / "vocab.txt")
    rows = {split: _rows(config, files, split, tokenizer, {}) for split in ("train", "dev", "test")}
    turned = [dataclasses.replace(pair, text=pair.text2, text2=pair.text) for pair in pairs]
    expected = encode(files.task, [*pairs, *turned])
    np.testing.assert_array_equal(rows["train"].ids, expected.ids)
    np.testing.assert_array_equal(rows["train"].labels["labels"], expected.labels["labels"])
    assert (len(rows["train"]), len(rows["dev"]), len(rows["test"])) == (4, 2, 2)
    config.task.double_unordered = False
    assert len(_rows(config, files, "train", tokenizer, {})) == 2


def test_multilabel_thresholds_come_from_dev(encode):
    examples = texts(("good", ("g", "s")), ("bad", ("b",)), ("film", ()))
    task = Multilabel().fitted(examples, TaskConfig())
    assert task.labels == ("b", "g", "s")
    rows = encode(task, examples)
    np.testing.assert_array_equal(rows.labels["labels"], [[0, 1, 1], [1, 0, 0], [0, 0, 0]])
    outputs = [np.array(each) for each in ([-3.0, -1.0, -1.0], [-1.0, -3.0, -3.0], [-3.0, -3.0, -3.0])]
    assert task.predictions(outputs, rows, examples)[0]["labels"] == []
    tuned = task.tuned(task.predictions(outputs, rows, examples), examples)
    found = tuned.predictions(outputs, rows, examples)
    assert [each["labels"] for each in found] == [["g", "s"], ["b"], []]
    assert tuned.scores(found, examples)["micro_f1"] == 1.0
    (found,) = task.predictions([np.array([0.0, -0.1, 0.1])], encode(task, examples[:1]), examples[:1])
    assert found["labels"] == ["b", "s"]  # from its threshold on, here 0.5, a label is given


def test_regression_is_learned_around_zero_and_answered_on_its_scale(encode):
    examples = texts(("a", 1.0), ("good", 3.0), ("bad", 8.0))
    task = Regression().fitted(examples, TaskConfig())
    rows = encode(task, examples)
    assert rows.labels["labels"].mean() == pytest.approx(0.0, abs=1e-6)
    assert rows.labels["labels"].std() == pytest.approx(1.0, abs=1e-6)
    found = task.predictions([each[None] for each in rows.labels["labels"]], rows, examples)
    assert [each["score"] for each in found] == pytest.approx([1.0, 3.0, 8.0], abs=1e-5)


def test_a_regression_of_one_number_is_refused():
    with pytest.raises(UserError, match=r"each label is 2.5, from which nothing is learned"):
        Regression().fitted(texts(("a", 2.5), ("b", 2.5)), TaskConfig())


@pytest.mark.parametrize("kind", [Classification, Regression])
def test_a_pair_whose_second_text_is_empty_is_a_pair(kind):
    labels = ("x", "y") if kind is Classification else (1.0, 2.0)
    pairs = [
        TextExample(f"f.tsv, line {number}", None, "a good one", text2, labels[number % 2])
        for number, text2 in enumerate(["a good one", "", "bad", "a good one", "bad", "good"])
    ]
    task = kind().fitted(pairs, TaskConfig())
    assert any("overlap" in name for name in task.floors(pairs, pairs))
    mirrored = in_both_orders(pairs)[len(pairs) :]
    assert [(one.text, one.text2) for one in mirrored[:2]] == [("a good one", "a good one"), ("", "a good one")]


def test_choices_are_a_row_and_fewer_ones_are_filled_up(encode):
    task = Choice()
    examples = [
        ChoiceExample("f, line 1", 1, "a film", None, ("good", "bad"), 1),
        ChoiceExample("f, line 2", 2, "a film", "very", ("good", "bad", "a"), 0),
    ]
    rows = encode(task, examples)
    assert rows.texts_per_row == 3
    batch = rows.batch([0, 1], 2, 8)
    assert batch["input_ids"].shape == (2, 3, 8)
    assert batch["attention_mask"][0].any(axis=-1).tolist() == [True, True, False]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    ids = batch["input_ids"][1, 2][batch["attention_mask"][1, 2] > 0]
    assert [tokens[each] for each in ids] == ["[CLS]", "a", "film", "[SEP]", "very", "a", "[SEP]"]
    found = task.predictions([np.array([0.0, 1.0, 9.0]), np.array([3.0, 1.0, 2.0])], rows, examples)
    assert [each["label"] for each in found] == [1, 0]
    assert len(found[0]["probabilities"]) == 2
    assert task.scores(found, examples) == {"accuracy": 1.0}


def test_tags_of_words_that_were_not_read_are_o(encode):
    examples = [TaggingExample("f", None, ("good", "\u200b", "film", *["a"] * 9), ("B-X", "O", *["O"] * 10))]
    task = Tagging().fitted(examples, TaskConfig())
    rows = encode(task, examples, long="cut")
    outputs = [np.tile([1.0, 0.0], (length, 1)) for length in rows.lengths]  # B-X everywhere
    (found,) = task.predictions(outputs, rows, examples)
    assert found["tags"] == ["B-X", "O", "B-X", "B-X", "B-X", "B-X", "B-X", "O", "O", "O", "O", "O"]
    rows = encode(task, examples)
    outputs = [np.tile([1.0, 0.0], (length, 1)) for length in rows.lengths]
    (found,) = task.predictions(outputs, rows, examples)
    assert found["tags"] == ["B-X", "O", *["B-X"] * 10]
    assert found["probabilities"] == pytest.approx([np.e / (np.e + 1), 0.0, *[np.e / (np.e + 1)] * 10])


def test_a_tag_that_training_lacks_is_scored_where_its_type_is_known(encode, caplog):
    task = Tagging().fitted([TaggingExample("train.txt, line 1", None, ("a", "good"), ("B-LST", "O"))], TaskConfig())
    test = [TaggingExample("test.txt, line 5", None, ("a", "good", "film"), ("B-LST", "I-LST", "O"))]
    with caplog.at_level(logging.WARNING, logger="absl"):
        assert task.for_scoring(test) == task
    said = "test.txt, line 5: the tag I-LST is not in the training file, so it is never predicted"
    assert caplog.messages == [said]
    rows = encode(task, test)
    assert rows.token_labels is not None
    assert [label for label in rows.token_labels.tolist() if label != IGNORED] == [0, 1]  # of I-LST is no loss
    (found,) = task.predictions([np.tile([1.0, 0.0], (rows.lengths[0], 1))], rows, test)
    assert found["tags"] == ["B-LST"] * 3
    assert task.scores([{"tags": ["B-LST", "O", "O"]}], test)["f1"] == 0.0  # the gold span has two words
    with pytest.raises(UserError, match=r"^test.txt, line 9: the label 'I-PER' is none that was trained on"):
        task.for_scoring([TaggingExample("test.txt, line 9", None, ("a",), ("I-PER",))])
    with pytest.raises(UserError, match=r"the label 'I-LST' is none"):  # tags of words have no types
        Tagging(("B-LST", "NN")).for_scoring(test)


def test_a_mistake_among_tags_of_spans_is_scored_as_no_span_and_another_column_is_refused():
    task = Tagging(("O", "B-X", "I-X"))
    gold = ("B-X", "I-X", *["O"] * 8)
    words = ("a",) * 10
    tagged = enumerate((gold, (*gold[:-1], "?")), start=1)
    test = [TaggingExample(f"f, line {number}", None, words, tags) for number, tags in tagged]
    assert task.for_scoring(test) == task
    assert task.scores([{"tags": gold}, {"tags": gold}], test)["f1"] == 1.0
    with pytest.raises(UserError, match=r"^f, line 1: the label 'NN' is none"):
        task.for_scoring([TaggingExample("f, line 1", None, words, ("NN",) * 10)])


@pytest.mark.parametrize(("asked", "f1"), [("conlleval", 1.0), ("strict", 0.0)])
def test_the_convention_that_is_asked_for_is_that_of_the_scores(asked, f1):
    examples = [TaggingExample("f", None, ("a", "a", "a"), ("B-X", "I-X", "O"))]
    task = Tagging().fitted(examples, TaskConfig(tag_scores=asked))
    assert task.scores([{"tags": ["I-X", "I-X", "O"]}], examples)["f1"] == f1
    assert task.settings()["convention"] == asked


def test_tagging_scores_say_their_convention():
    examples = [TaggingExample("f", None, ("a", "a", "a"), ("B-X", "I-X", "O"))]
    stray = [{"tags": ["I-X", "I-X", "O"]}]
    assert Tagging(("B-X", "I-X", "O")).scores(stray, examples)["f1"] == 1.0
    strict = Tagging(("B-X", "I-X", "O"), "strict")
    assert strict.scores(stray, examples)["f1"] == 0.0
    assert "strict" in strict.metrics[0].title
    assert Tagging(("DT", "NN")).metrics[0].name == "accuracy"


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_task_is_itself_again_from_its_settings(kind):
    task = KINDS[kind]()
    assert trained_task(kind, task.settings()) == task
    if kind in ("classification", "tagging", "multilabel"):
        task = trained_task(kind, task.settings() | {"labels": ["x", "y"]})
        assert task.labels == ("x", "y")
        assert task.num_outputs == 2


def test_a_few_tags_of_no_span_are_no_labels_and_in_no_score():
    words, tags = tuple("abcdefghij"), ("B-X", "I-X", "O", "O", "B-X", "O", "O", "O", "O", "X")
    examples = [TaggingExample("train.txt, line 1", None, words, tags)]
    task = Tagging().fitted(examples, TaskConfig())
    assert task.labels == ("B-X", "I-X", "O")
    assert [metric.name for metric in task.metrics] == ["f1", "precision", "recall"]
    assert task.scores([{"tags": [*tags[:-1], "O"]}], examples)["f1"] == 1.0
    assert set(task.floors(examples, examples)) == {"most frequent tag of the word", "entities of training"}


def test_labels_that_are_nearly_numbers_are_sorted_by_spelling():
    assert in_order(["10", "9", "-1"]) == ("-1", "9", "10")
    assert in_order(["10", "9", "--1"]) == ("--1", "10", "9")


def test_other_tags_are_other_rows(encode):
    task = Tagging(("B-X", "O"))
    rows = [encode(task, [TaggingExample("f", None, ("good", "film"), tags)]) for tags in (("B-X", "O"), ("O", "B-X"))]
    np.testing.assert_array_equal(rows[0].ids, rows[1].ids)
    assert digest(rows[0]) != digest(rows[1])


def test_other_answers_are_other_examples_and_another_place_is_not():
    given = TaggingExample("train.txt, line 1", None, ("a",), ("O",))
    assert digest_of_examples([given]) == digest_of_examples([dataclasses.replace(given, place="x")])
    assert digest_of_examples([given]) != digest_of_examples([dataclasses.replace(given, tags=("B-X",))])
