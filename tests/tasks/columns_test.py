"""--columns, and columns that are found by their names."""

import pytest

from bert_jax.errors import UserError
from bert_jax.tasks.columns import CHOICES, Columns, find_id, find_label, find_texts, resolve


def test_what_columns_says():
    columns = Columns.of("text:1, text2:sentence_B,label:4,choices:7+8+end", CHOICES)
    assert [columns.get(role) for role in ("text", "text2", "label", "id")] == ["1", "sentence_B", "4", None]
    assert columns.numbers == [1, 4, 7, 8]
    assert columns.names == ["sentence_B", "end"]
    assert Columns.of("text:a:b").get("text") == "a:b"
    assert Columns.of(None) == Columns.of("") == Columns()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("text", r"--columns=text: 'text' names no column that is read here; write ROLE:COLUMN, as in text:1,"),
        ("text:", r"names no column"),
        ("text:1,,label:2", r"'' names no column"),
        ("body:1", r"'body:1' names no column.*a role is one of text, text2, label, id"),
        ("1:text", r"names no column"),
        ("text:1,tag:2", r"'tag:2' names no column that is read here.*a role is one of text, text2, label, id$"),
        ("text:1,text:2", r"says text twice; leave one out"),
    ],
)
def test_what_columns_cannot_say(spec, message):
    with pytest.raises(UserError, match=message):
        Columns.of(spec)


def test_a_name_goes_before_a_number():
    assert resolve("1", ["a", "b", "1"], True, "f", "text") == "1"
    assert resolve("1", ["a", "b", "c"], True, "f", "text") == "b"
    with pytest.raises(UserError, match=r"^f has no column '3' but a, b, c; correct text: in --columns$"):
        resolve("3", ["a", "b", "c"], True, "f", "text")
    with pytest.raises(UserError, match=r"^f has no column '1' but a, b"):
        resolve("1", ["a", "b"], False, "f", "text")
    with pytest.raises(UserError, match=r"no column '3' .* correct label: in --columns, or give a file with labels"):
        resolve("3", ["a", "b", "c"], True, "f", "label")


def test_the_number_of_a_column_that_its_header_calls_a_label_is_no_text():
    names = ["label", "sentence", "id", "question"]
    assert resolve("1", names, True, "f", "text") == "sentence"
    assert resolve("3", names, True, "f", "text2") == "question"
    assert resolve("label", names, True, "f", "text") == "label"
    for number in "02":
        with pytest.raises(UserError, match=rf"^f has '.*' as column {number}, which is read as the text; give names"):
            resolve(number, names, True, "f", "text")


@pytest.mark.parametrize(
    ("names", "texts"),
    [
        ("text label", ("text", None)),
        ("index sentence", ("sentence", None)),
        ("Quality|#1 ID|#2 ID|#1 String|#2 String", ("#1 String", "#2 String")),
        ("id qid1 qid2 question1 question2 is_duplicate", ("question1", "question2")),
        ("index question sentence label", ("question", "sentence")),
        ("pair_ID sentence_A sentence_B relatedness_score entailment_judgment", ("sentence_A", "sentence_B")),
        ("sentence2 sentence1", ("sentence1", "sentence2")),
        ("sentence1_parse sentence2_parse sentence1 sentence2 gold_label", ("sentence1", "sentence2")),
        ("premise hypothesis label", ("premise", "hypothesis")),
        ("anchor positive negative", ("anchor", "positive")),
        ("Review sentiment", ("Review", None)),
    ],
)
def test_texts_are_found(names, texts):
    assert find_texts(names.split("|" if "|" in names else " "), "f") == texts


@pytest.mark.parametrize("names", ["text sentence label", "body label", "sentence1 sentence2 text", "label"])
def test_texts_are_not_guessed(names):
    with pytest.raises(UserError, match=rf"^f has the columns {names.replace(' ', ', ')}, .*--columns=text:NAME"):
        find_texts(names.split(), "f")


def test_labels_are_found():
    sick = ["pair_ID", "sentence_A", "sentence_B", "relatedness_score", "entailment_judgment"]
    assert find_label(sick, "class", "f") == "entailment_judgment"
    assert find_label(sick, "number", "f") == "relatedness_score"
    assert find_label(["text", "label"], "number", "f") == "label"
    assert find_label(["text", "score", "label"], "number", "f") == "score"
    assert find_label(["text", "labels", "label"], "labels", "f") == "labels"
    assert find_label(["text", "body"], "class", "f") is None
    with pytest.raises(UserError, match=r"more than one column that may be the label \(label, category\)"):
        find_label(["text", "label", "category"], "class", "f")


def test_ids_are_found():
    assert find_id(["pair_ID", "text"]) == "pair_ID"
    assert find_id(["index", "_id", "idx"]) == "_id"
    assert find_id(["text"]) is None
    assert find_id(["ID", "id"]) == "ID"
