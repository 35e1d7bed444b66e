"""Which tags mark spans."""

import pytest

from bert_jax.tasks import tags


@pytest.mark.parametrize(
    ("given", "expected"),
    [(["O"], True), (["B-A", "O"], True), (["U-A", "L-B"], True), (["NN", "B-A"], False), (["B-"], False)],
)
def test_which_tags_are_of_spans(given, expected):
    assert tags.are_spans(given) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["B-A", "E-A"], True),
        (["U-A", "O"], True),
        (["B-A", "I-A", "O"], False),
        (["LOC", "B-A"], False),
        ([""], False),
    ],
)
def test_whether_ends_are_marked(given, expected):
    assert tags.have_ends(given) == expected


@pytest.mark.parametrize(
    ("sentence", "scheme"),
    [
        (["I-A", "B-A", "I-A", "O"], "IOB1"),
        (["I-A", "B-B", "O"], "BIO"),  # of another type a span begins with B- in IOB2 alone
        (["B-A", "I-A", "O", "B-A"], "BIO"),
        (["I-A", "I-B", "O"], "IO"),
    ],
)
def test_how_spans_are_marked(sentence, scheme):
    assert tags.tag_scheme([sentence]) == scheme


def test_a_few_mistakes_among_tags_of_spans():
    assert tags.are_mostly_spans(["B-A", *["O"] * 18, "NN"])
    assert not tags.are_mostly_spans(["B-A", "O", "NN"])
    assert not tags.are_mostly_spans(["O", "O"])
