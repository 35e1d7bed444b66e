"""Simple answers to real questions, whose numbers are known from elsewhere."""

import pytest

from bert_jax.tasks.floors import qa as floors
from bert_jax.tasks.scores.qa import qa


def test_no_answer_at_all(labelled_files):
    golds = [answers for _, _, answers in labelled_files.questions("squad2/test.json.xz")]
    scores = qa(golds, floors.empty(len(golds)))
    assert round(scores["exact"], 3) == round(scores["f1"], 3) == 0.518


@pytest.mark.parametrize(
    ("file", "exact", "f1"),
    [("squad2/test.json.xz", 0.160, 0.268), ("squad2/test_other_articles.json", 0.112, 0.227)],
)
def test_names_and_numbers(labelled_files, file, exact, f1):
    questions, contexts, golds = zip(*(read for read in labelled_files.questions(file) if read[2]), strict=True)
    scores = qa(golds, floors.names_and_numbers(questions, contexts))
    assert round(scores["exact"], 3) >= exact
    assert f1 <= scores["f1"] <= f1 + 0.02  # a floor: much more would be a mistake of the score


def test_the_best_sentence_of_long_documents(labelled_files):
    questions, contexts, golds = zip(*labelled_files.questions("covidqa_long/test.json.xz"), strict=True)
    sentences = floors.best_sentence(questions, contexts)
    assert all(sentence in context for sentence, context in zip(sentences, contexts, strict=True))
    assert qa(golds, sentences)["f1"] >= 0.224


CONTEXT = (
    'The Normans came in 911. Their leader was "Rollo of Normandy" of old. He had 1,000 ships, and a Mr. Smith!\n\nend'
)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Who was their leader?", "Rollo of Normandy"),
        ("When came the Normans?", "911"),
        ("How many ships had he?", "1,000"),
        ("Where is Normandy, of Rollo leader?", 'Their leader was "Rollo of Normandy" of old.'),  # both are asked for
        ("end", "end"),
    ],
)
def test_answers_stand_in_the_context(question, answer):
    assert floors.names_and_numbers([question], [CONTEXT]) == [answer]


def test_nothing_to_choose_from():
    assert floors.names_and_numbers(["who?", ""], ["", "some words"]) == ["", "some words"]
    assert floors.names_and_numbers([], []) == []
    assert floors.empty(2) == ["", ""]
