"""Scores of a search, against their definitions written out."""

import math
import sys

import numpy as np
import pytest

from bert_jax.errors import UserError
from bert_jax.tasks.scores import retrieval as scores


def plain(gains, found):
    """The measures of one query; `gains`: document -> gain, `found`: document -> score."""
    ranked = sorted(found, key=lambda document: (-found[document], document))
    relevant = {document for document, gain in gains.items() if gain > 0}
    hits = [document in relevant for document in ranked]

    def discounted(values):
        return sum(gain / math.log2(rank + 2) for rank, gain in enumerate(values[:10]))

    precision = [sum(hits[: rank + 1]) / (rank + 1) for rank, hit in enumerate(hits[:100]) if hit]
    return {
        "ndcg@10": discounted([gains.get(document, 0) for document in ranked])
        / discounted(sorted(gains.values(), reverse=True)),
        "mrr@10": next((1 / (rank + 1) for rank, hit in enumerate(hits[:10]) if hit), 0.0),
        "recall@10": sum(hits[:10]) / len(relevant),
        "recall@100": sum(hits[:100]) / len(relevant),
        "map@100": sum(precision) / len(relevant),
        "accuracy@1": float(any(hits[:1])),
    }


@pytest.fixture
def judged():
    """Qrels with gains 0 to 2 and a run over 150 documents, in which many scores are equal."""
    random = np.random.default_rng(0)
    qrels = {
        f"q{query}": {f"d{document}": int(random.integers(0, 3)) for document in random.choice(150, 12, replace=False)}
        for query in range(20)
    }
    run = {query: {f"d{document}": float(random.integers(0, 30)) for document in range(150)} for query in qrels}
    return qrels, run


def test_scores_equal_their_definitions(judged):
    qrels, run = judged
    each = [plain(qrels[query], run[query]) for query in qrels]
    expected = {name: np.mean([found[name] for found in each]) for name in scores.MEASURES}
    assert scores.retrieval(qrels, run) == pytest.approx(expected, abs=1e-9)
    by_query = scores.by_query(qrels, run)
    for name in scores.MEASURES:
        assert by_query[name].tolist() == pytest.approx([found[name] for found in each], abs=1e-9)


def test_equal_scores_are_ranked_by_id_whatever_the_order_they_come_in():
    qrels = {"q": {"b": 1}}
    first = scores.retrieval(qrels, {"q": {"a": 1.0, "b": 1.0, "c": 1.0}})
    assert first == scores.retrieval(qrels, {"q": {"c": 1.0, "b": 1.0, "a": 1.0}})
    assert first["mrr@10"] == 0.5
    assert first["ndcg@10"] == pytest.approx(1 / math.log2(3))


def test_queries_without_relevant_documents_are_dropped_and_those_without_documents_count_zero():
    qrels = {
        "found": {"a": 1},
        "none relevant": {"a": 0},
        "no judgement": {},
        "not in the run": {"a": 1},
        "empty": {"b": 1},
    }
    run = {"found": {"a": 0.5}, "none relevant": {"a": 1.0}, "not judged": {"a": 1.0}, "empty": {}}
    assert scores.by_query(qrels, run)["accuracy@1"].tolist() == [1, 0, 0]
    assert scores.retrieval(qrels, run)["ndcg@10"] == pytest.approx(1 / 3)
    assert set(scores.retrieval(qrels, {}).values()) == {0}


def test_no_query_at_all_is_no_number():
    assert all(math.isnan(value) for value in scores.retrieval({"q": {"a": 0}}, {}).values())


def test_scores_become_distinct_in_the_same_order():
    found = scores.distinct({f"d{number:03}": -(number // 2) * 1e-9 for number in range(200)})
    assert list(found) == [f"d{number:03}" for number in range(100)]
    assert list(found.values()) == sorted(set(found.values()), reverse=True)


def test_a_library_that_is_missing_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "ir_measures", None)
    with pytest.raises(UserError, match=r"^a retrieval's score needs ir-measures; run launch/setup.sh tasks$"):
        scores.retrieval({"q": {"a": 1}}, {"q": {"a": 1.0}})
