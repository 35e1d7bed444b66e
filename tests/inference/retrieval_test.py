"""Search among vectors in shards, and its scores."""

import json

import numpy as np
import pytest

from bert_jax.errors import UserError
from bert_jax.inference.embedding_options import EmbeddingOptions, load
from bert_jax.inference.embedding_run import embed_file
from bert_jax.inference.retrieval import check_can_search, nearest, read_searches, search_scores


@pytest.mark.parametrize("block", [7, 100])
def test_the_nearest_of_all_blocks(block):
    random = np.random.default_rng(0)
    documents, queries = random.normal(size=(100, 8)), random.normal(size=(300, 8))
    unit = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (queries, documents)]
    cosines = unit[0] @ unit[1].T
    scores, rows = nearest(queries, (documents[at : at + block] for at in range(0, 100, block)), 10)
    np.testing.assert_allclose(scores, -np.sort(-cosines, axis=1)[:, :10], atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(cosines, rows, axis=1), scores, atol=1e-6)


def test_fewer_documents_than_are_asked_for():
    scores, rows = nearest(np.eye(2), [np.eye(2)], 5)
    assert rows[:, :2].tolist() == [[0, 1], [1, 0]]
    assert (rows[:, 2:] == -1).all()
    assert (scores[:, 2:] == -np.inf).all()


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def collection(tmp_path):
    """Documents, queries that are two of them, and judgements."""
    texts = ["the wing of a plane", "a quick brown fox", "the lazy dog", "air flow over the hull"]
    rows = [{"_id": name, "text": text} for name, text in zip(["d0", "d3", "d2", "d1"], texts, strict=True)]
    documents = write(tmp_path / "documents.jsonl", rows)
    queries = write(tmp_path / "queries.jsonl", [{"_id": "q0", "text": texts[2]}, {"_id": "q1", "text": texts[0]}])
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq0\td2\t1\nq1\td0\t1\n")
    return documents, queries, str(tmp_path / "qrels.tsv")


def test_scores(tiny_bert, collection, tmp_path):
    documents, queries, qrels = collection
    options = EmbeddingOptions(str(tiny_bert), shard_rows=3, batch_tokens=64)
    loaded = load(options)
    embed_file(options, loaded, documents, tmp_path / "vectors")
    found = search_scores(options, loaded.embedder, tmp_path / "vectors", documents, read_searches(queries, qrels))
    assert (found["documents"], found["queries"]) == (4, 2)
    assert found["scores"]["ndcg@10"] == found["floors"]["BM25"]["ndcg@10"] == 1.0


def test_bm25_ranks_the_texts_that_were_embedded(tiny_bert, collection, tmp_path):
    _, queries, qrels = collection
    (tmp_path / "documents.tsv").write_text("d0\tx\tthe wing of a plane\nd1\tx\ta fox\nd2\tx\tthe lazy dog\n")
    options = EmbeddingOptions(str(tiny_bert), columns="id:0,text:2", header="no")
    loaded = load(options)
    documents = f"{tmp_path}/documents.tsv"
    embed_file(options, loaded, documents, tmp_path / "vectors")
    found = search_scores(options, loaded.embedder, tmp_path / "vectors", documents, read_searches(queries, qrels))
    assert found["scores"]["ndcg@10"] == found["floors"]["BM25"]["ndcg@10"] == 1.0


def test_the_log_says_that_queries_are_cut(tiny_bert, collection, tmp_path, caplog):
    documents, queries, qrels = collection
    options = EmbeddingOptions(str(tiny_bert), max_length=5)
    loaded = load(options)
    embed_file(options, loaded, documents, tmp_path / "vectors")
    search_scores(options, loaded.embedder, tmp_path / "vectors", documents, read_searches(queries, qrels))
    assert f"{queries}: 1 of 2 texts are longer than 5 tokens: cut (--long=windows reads all of them)" in caplog.text


def test_queries_that_are_missing_are_told_and_the_irrelevant_not_counted(tiny_bert, collection, tmp_path, caplog):
    documents, queries, _ = collection
    qrels = tmp_path / "more.tsv"
    qrels.write_text("q0\td2\t1\nq1\td0\t0\nq7\td1\t1\nq8\td1\t1\n")
    options = EmbeddingOptions(str(tiny_bert))
    loaded = load(options)
    embed_file(options, loaded, documents, tmp_path / "vectors")
    found = search_scores(options, loaded.embedder, tmp_path / "vectors", documents, read_searches(queries, str(qrels)))
    assert (found["queries"], found["scores"]["ndcg@10"]) == (1, 1.0)
    assert f"2 judged queries, such as 'q7', are not in {queries}" in caplog.text


def test_what_cannot_be_searched():
    with pytest.raises(UserError, match=r"--input=-: a search reads the documents again"):
        check_can_search(EmbeddingOptions("model"), "-")
    with pytest.raises(UserError, match=r"--pooling=words gives no vectors of texts to search"):
        check_can_search(EmbeddingOptions("model", pooling="words"), "documents.jsonl")


def test_files_that_do_not_go_together(collection, tmp_path):
    _, queries, qrels = collection
    assert read_searches(None, None) is None
    with pytest.raises(UserError, match="--qrels is missing"):
        read_searches(queries, None)
    with pytest.raises(UserError, match="--queries is missing"):
        read_searches(None, qrels)
    for rows in ("q7\td0\t1\n", "q0\td0\t0\n"):
        (tmp_path / "other.tsv").write_text(rows)
        with pytest.raises(UserError, match=r"other\.tsv judges no document relevant .* a query of .*queries\.json"):
            read_searches(queries, str(tmp_path / "other.tsv"))
    assert read_searches(queries, qrels).qrels["q1"] == {"d0": 1}
