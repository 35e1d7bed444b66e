import random

from bert_jax.data.flat_corpus import flat_corpus, shuffled
from bert_jax.data.mersenne_twister import state_of

DOCUMENTS = [[[5, 6], [7]], [[8], [9, 10, 11], [12]], [[13]], [[14, 15], [16]]]


def nested(corpus):
    """The documents of a flat corpus as lists."""
    return [
        [
            corpus.tokens[corpus.sentence_starts[sentence] : corpus.sentence_starts[sentence + 1]].tolist()
            for sentence in range(start, end)
        ]
        for start, end in zip(corpus.document_starts, corpus.document_ends, strict=True)
    ]


def test_everything_is_in_it():
    assert nested(flat_corpus(DOCUMENTS)) == DOCUMENTS


def test_what_holds_no_token_is_left_out():
    assert nested(flat_corpus([[], [[]], [[5, 6], [], [7]], [[], []], *DOCUMENTS[1:], [[]]])) == DOCUMENTS


def test_nothing_in_it():
    assert nested(flat_corpus([[[]], []])) == []


def test_shuffled_as_python_shuffles():
    documents = [[[number], [number, number]] for number in range(200)]
    rng = random.Random(9)
    found = shuffled(flat_corpus(documents), state_of(rng))
    rng.shuffle(documents)
    assert nested(found) == documents
