"""Simple taggers on real sentences, whose numbers are known from elsewhere."""

import pytest

from bert_jax.tasks.floors import tagging as floors
from bert_jax.tasks.scores.tagging import tagging, word_scores


def read(labelled_files, name, *form):
    return [labelled_files.sentences(name.format(part), *form) for part in ("train", "test")]


def test_parts_of_speech(labelled_files):
    (words, tags), (test_words, gold) = read(labelled_files, "conll2000/{}.txt.xz", " ", 1)
    assert round(word_scores(gold, floors.most_frequent_tag(words, tags, test_words))["accuracy"], 3) == 0.906


@pytest.mark.parametrize(
    ("name", "separator", "lower_case", "f1"),
    [("ncbi_disease/{}.tsv", "\t", False, 0.662), ("wikigold/{}.txt", " ", True, 0.208)],
)
def test_entities(labelled_files, name, separator, lower_case, f1):
    (words, tags), (test_words, gold) = read(labelled_files, name, separator)
    if lower_case:
        words, test_words = lower(words), lower(test_words)
    assert round(tagging(gold, floors.longest_match(words, tags, test_words))["f1"], 3) == f1


def lower(sentences):
    return [[word.lower() for word in sentence] for sentence in sentences]


def test_entities_by_single_words(labelled_files):
    (words, tags), (test_words, gold) = read(labelled_files, "ncbi_disease/{}.tsv", "\t")
    assert round(tagging(gold, floors.most_frequent_tag(words, tags, test_words))["f1"], 3) == 0.482


WORDS = [["New", "York", "and", "York"], ["New", "ideas"], ["New", "York", "City"], ["May", "and", "May", "and", "may"]]


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        (["B-LOC I-LOC O B-LOC", "O O", "B-LOC I-LOC I-LOC", "B-PER O O O O"], "B-LOC I-LOC I-LOC O B-LOC B-PER"),
        (["I-LOC I-LOC O I-LOC", "O O", "I-LOC I-LOC I-LOC", "I-PER O O O O"], "I-LOC I-LOC I-LOC O I-LOC I-PER"),
        (["B-LOC E-LOC O S-LOC", "O O", "B-LOC I-LOC E-LOC", "S-PER O O O O"], "B-LOC I-LOC E-LOC O S-LOC S-PER"),
        (["B-LOC L-LOC O U-LOC", "O O", "B-LOC I-LOC L-LOC", "U-PER O O O O"], "B-LOC I-LOC L-LOC O U-LOC U-PER"),
    ],
)
def test_the_longest_match_is_tagged_as_in_training(tags, found):
    tags = [some.split() for some in tags]
    sentence = ["New", "York", "City", "New", "York", "May"]  # of the second York more is an entity than not
    expected = found.split()
    expected[3:5] = expected[0], {"I": expected[1]}.get(expected[2][0], expected[2])
    assert floors.longest_match(WORDS, tags, [sentence, [], ["new"]]) == [expected, [], ["O"]]


def test_what_is_seldom_an_entity_is_none():
    tags = [["O"] * 4, ["O"] * 2, ["O"] * 3, ["B-PER", "O", "O", "O", "O"]]
    assert floors.longest_match(WORDS, tags, [["May"]]) == [["B-PER"]]  # one of two
    assert floors.longest_match(lower(WORDS), tags, [["may"]]) == [["O"]]  # one of three


def test_a_new_word_has_the_most_frequent_tag_of_all():
    assert floors.most_frequent_tag([["a", "b", "c"]], [["X", "Y", "Y"]], [["a", "d"], []]) == [["X", "Y"], []]
    assert floors.most_frequent_tag([], [], [["a"]]) == [["O"]]
    assert floors.longest_match([], [], [["a"]]) == [["O"]]
