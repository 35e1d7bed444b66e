"""BM25 on a real collection, whose numbers are known from elsewhere."""

import collections
import subprocess
import sys

import pytest

from bert_jax.errors import UserError
from bert_jax.tasks.floors.retrieval import bm25
from bert_jax.tasks.scores.retrieval import retrieval


def rounded(scores, *names):
    return [round(scores[name], 3) for name in names]


def test_cranfield(labelled_files):
    corpus = labelled_files.json_lines("cranfield/corpus.jsonl.xz")
    queries = labelled_files.json_lines("cranfield/queries.jsonl")
    qrels = collections.defaultdict(dict)
    for query, document, gain in labelled_files.rows("cranfield/qrels.tsv")[1:]:
        qrels[query][document] = int(gain)
    run = bm25(
        {row["_id"]: f"{row['title']} {row['text']}".strip() for row in corpus},
        {row["_id"]: row["text"] for row in queries},
    )
    scores = retrieval(qrels, run)
    assert rounded(scores, "ndcg@10", "mrr@10", "recall@10", "recall@100") == [0.352, 0.491, 0.370, 0.704]


def test_questions_and_their_paragraphs(labelled_files):
    files = ("squad2/test.json.xz", "squad2/test_other_articles.json")
    read = [question for file in files for question in labelled_files.questions(file)]
    documents = {
        context: f"d{number}" for number, context in enumerate(dict.fromkeys(context for _, context, _ in read))
    }
    asked = {f"q{number}": (text, context) for number, (text, context, golds) in enumerate(read) if golds}
    run = bm25(
        {name: context for context, name in documents.items()}, {query: text for query, (text, _) in asked.items()}
    )
    scores = retrieval({query: {documents[context]: 1} for query, (_, context) in asked.items()}, run)
    assert (len(documents), len(asked)) == (283, 1393)
    assert rounded(scores, "ndcg@10", "mrr@10", "accuracy@1") == [0.921, 0.902, 0.857]


def test_texts_without_words_find_nothing():
    documents = {"a": "red house", "b": "", "c": "the"}
    run = bm25(documents, {"1": "a red ship", "2": "", "3": "the of", "4": "unknown words"})
    assert {query: list(found) for query, found in run.items()} == {"1": ["a"], "2": [], "3": [], "4": []}
    assert bm25({}, {"1": "red"}) == {"1": {}}
    assert bm25({"b": ""}, {"1": "red"}) == {"1": {}}
    assert bm25(documents, {}) == {}


def test_jax_is_left_alone():
    program = (
        "import sys; from bert_jax.tasks.floors.retrieval import bm25; bm25({'a': 'red'}, {'1': 'red'});"
        "assert 'jax.lax' not in sys.modules; import jax.lax; assert jax.lax.add(1, 1) == 2; import bm25s;"
        "bm25({'a': 'red'}, {'1': 'red'}); assert sys.modules['jax.lax'] is jax.lax"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_library_that_is_missing_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "bm25s", None)
    with pytest.raises(
        UserError, match=r"^the floors \(scores of simple methods\) need bm25s; run launch/setup.sh tasks$"
    ):
        bm25({"a": "red"}, {"1": "red"})
