"""Cranfield's files, judgements in each form, and what is none."""

import pytest

from bert_jax.errors import UserError
from bert_jax.tasks.retrieval import read_documents, read_judgements


def test_cranfield(real):
    documents, queries = (
        read_documents(real("cranfield/corpus.jsonl.xz")),
        read_documents(real("cranfield/queries.jsonl")),
    )
    judgements = read_judgements(real("cranfield/qrels.tsv"))
    assert (len(documents), len(queries)) == (1400, 225)
    assert sum(not text.strip() for text in documents.values()) == 2
    assert sum(map(len, judgements.values())) == 1612
    assert {grade for of_query in judgements.values() for grade in of_query.values()} == {1}
    assert judgements.keys() <= queries.keys()
    assert {document for of_query in judgements.values() for document in of_query} <= documents.keys()
    assert documents["1"].startswith(
        "experimental investigation of the aerodynamics of a wing in a slipstream . an exper"
    )


def test_documents(write):
    path = write(
        "a.jsonl",
        '{"_id": "a", "title": "T", "text": "x"}\n{"_id": 2, "title": "", "text": ""}\n{"_id": "c", "text": "z"}\n',
    )
    assert read_documents(path) == {"a": "T x", "2": "", "c": "z"}
    assert read_documents(write("a.tsv", "id\ttext\n1\tx\n")) == {"1": "x"}


@pytest.mark.parametrize(
    "content",
    [
        "query-id\tcorpus-id\tscore\nq 1\td1\t2\nq 1\td2\t0\nq2\td1\t1\n",
        "\ufeffq 1\td1\t2\r\nq 1\td2\t0\r\nq2\td1\t1",
        "q 1\t0\td1\t2\nq 1\t0\td2\t0\n\nq2\t0\td1\t1\n",
    ],
)
def test_judgements(write, content):
    assert read_judgements(write("a.tsv", content)) == {"q 1": {"d1": 2, "d2": 0}, "q2": {"d1": 1}}


def test_judgements_of_trec(write):
    assert read_judgements(write("a.qrels", "1 0 d1 1\n1 Q0  d2 -1\n")) == {"1": {"d1": 1, "d2": -1}}


@pytest.mark.parametrize(
    ("read", "name", "content", "message"),
    [
        (read_documents, "a.jsonl", '{"id": "a", "body": "x"}', r"has the columns id, body; a row of a collection is"),
        (read_documents, "a.jsonl", '{"_id": null, "text": "x"}', r"line 1 has no '_id'; give each document its own"),
        (
            read_documents,
            "a.jsonl",
            '{"_id": 1, "text": "x"}\n{"_id": "1", "text": "y"}',
            r"line 2: '_id' is '1', as in",
        ),
        (read_documents, "a.jsonl", '{"_id": 1, "text": null}', r"line 1: 'text' is null"),
        (read_judgements, "a.tsv", "q\td\tscore\n", r"has no judgements; write query, document and grade between tabs"),
        (read_judgements, "a.tsv", "", r"has no judgements"),
        (read_judgements, "a.tsv", "q\td\t1\nq\td2\thigh\n", r"line 2: the grade is 'high', no whole number"),
        (read_judgements, "a.tsv", "q\td1\t1.0\nq\td2\t1\n", r"line 1: the grade is '1\.0', no whole number"),
        (read_judgements, "a.tsv", "q\td1\t\nq\td2\t1\n", r"line 1: the grade is '', no whole number"),
        (read_judgements, "a.tsv", "q\td\n", r"line 1 has 2 columns; write query"),
        (read_judgements, "a.tsv", "q\td\t1\nq\td\t0\n", r"line 2 judges a document anew, and otherwise"),
    ],
)
def test_what_is_no_collection(write, read, name, content, message):
    with pytest.raises(UserError, match=message) as caught:
        read(write(name, content))
    assert "\n" not in str(caught.value)
