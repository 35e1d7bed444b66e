"""Damaged files: each reader gives examples or one line, and no other error, whatever a file holds."""

import json
import random

import pytest

from bert_jax.errors import UserError
from bert_jax.tasks.choices import read_choices
from bert_jax.tasks.columns import TAGGED_WORDS, Columns
from bert_jax.tasks.conll import read_tagging
from bert_jax.tasks.pairs import read_pairs
from bert_jax.tasks.retrieval import read_documents, read_judgements
from bert_jax.tasks.squad import read_questions
from bert_jax.tasks.texts import read_texts

CONTEXT = {
    "context": "Ada wrote.",
    "qas": [{"id": "1", "question": "Who?", "answers": [{"text": "Ada", "answer_start": 0}]}],
}
FILES = {
    "a.tsv": "id\tsentence1\tsentence2\tlabel\n1\tAda\twrote\t0\n2\tIt\tis\t1\n",
    "a.csv": 'id,text,score\n1,"Ada, ""A""\nwrote",0.5\n2,It,1\n',
    "a.jsonl": "".join(
        json.dumps({"_id": n, "text": "Ada", "labels": ["a"], "choices": ["b", "c"], "words": ["d"], "tags": ["O"]})
        + "\n"
        for n in range(3)
    ),
    "b.jsonl": json.dumps({"question": "Who?", "context": "Ada", "answers": {"text": ["Ada"], "answer_start": [0]}}),
    "a.json": json.dumps({"data": [{"paragraphs": [CONTEXT]}]}),
    "a.txt": "-DOCSTART- O\n\nAda B-X\nwrote O\n\nIt O\n",
    "b.txt": "1\tAda\t_\t_\t_\t_\t_\t_\t_\t_\n# sent_id = 2\n\n",
    "qrels.tsv": "query-id\tcorpus-id\tscore\n1\t2\t1\n",
}
PIECES = [
    b"\t",
    b"\n",
    b'"',
    b",",
    b"{",
    b"[",
    b"]",
    b"}",
    b"null",
    b"0",
    b"-1",
    b"\xff",
    b"\0",
    b"\\u",
    b"\\ud800",
    b"1e999",
    b" ",
]
READERS = [
    *(lambda path, kind=kind: read_texts(path, Columns(), kind, True) for kind in ("class", "labels", "number")),
    lambda path: read_texts(path, Columns.of("text:0,text2:1,label:2,id:0"), "class", False),
    lambda path: read_choices(path, Columns(), True),
    lambda path: read_pairs(path, Columns(), True),
    lambda path: read_tagging(path, Columns(), True),
    lambda path: read_tagging(path, Columns.of("word:1,tag:0", TAGGED_WORDS), False),
    lambda path: read_questions(path, True, True),
    lambda path: read_questions(path, False),
    read_documents,
    read_judgements,
]


def damaged(content, rng):
    content = bytearray(content)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(content) + 1)
        content[at : at + rng.choice([0, 0, 1, 2, 9])] = rng.choice([b"", *PIECES])
    return bytes(content)


def outcome(reader, path):
    """The examples, or the message."""
    try:
        return reader(path)
    except UserError as error:
        return str(error)


@pytest.mark.parametrize("name", FILES)
def test_no_other_error_than_one_line(write, name):
    rng = random.Random(name)
    read = 0
    for _ in range(60):
        path = write(name, damaged(FILES[name].encode(), rng))
        for found in [outcome(reader, path) for reader in READERS]:
            assert found
            if isinstance(found, str):
                assert "\n" not in found
                assert len(found) < 700
            else:
                read += 1
    assert read > 0
