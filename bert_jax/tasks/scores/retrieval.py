"""Scores of a search: documents ranked for each query, beside judgements."""

from collections.abc import Mapping

import numpy as np

from bert_jax.tasks.libraries import needed

MEASURES = {  # name -> that of ir_measures
    "ndcg@10": "nDCG@10",
    "mrr@10": "RR@10",
    "recall@10": "R@10",
    "recall@100": "R@100",
    "map@100": "AP@100",
    "accuracy@1": "Success@1",
}
DEPTH = 100  # documents of a query that a measure looks at

Qrels = Mapping[str, Mapping[str, int]]  # query -> document -> gain; a document with more than 0 is relevant
Ranking = Mapping[str, Mapping[str, float]]  # query -> document -> score, the higher the better


def retrieval(qrels: Qrels, run: Ranking) -> dict[str, float]:
    """The mean of each measure over the queries with a relevant document; NaN if there is none.

    Returns:
      ndcg@10 (gains as they are, discounted by log2 of rank + 1), mrr@10, recall@10, recall@100, map@100, accuracy@1
      (the first document is relevant).
    """
    values = by_query(qrels, run)
    return {name: float(np.mean(each)) if len(each) else float("nan") for name, each in values.items()}


def by_query(qrels: Qrels, run: Ranking) -> dict[str, np.ndarray]:
    """Measure -> float64 [queries with a relevant document], in the order of `qrels`.

    Documents of equal score are ranked by their ids, since the measures of the library order them in different ways. A
    query that the run does not have counts 0.
    """
    with needed("a retrieval's score needs", "ir-measures"):
        import ir_measures
    judged = {query: dict(gains) for query, gains in qrels.items() if any(gain > 0 for gain in gains.values())}
    ranked = {query: distinct(run[query]) for query in judged if run.get(query)}
    place = {query: number for number, query in enumerate(judged)}
    measures = {ir_measures.parse_measure(theirs): ours for ours, theirs in MEASURES.items()}
    values = {name: np.zeros(len(judged)) for name in MEASURES}
    if ranked:
        for found in ir_measures.iter_calc(list(measures), judged, ranked):
            values[measures[found.measure]][place[found.query_id]] = found.value
    return values


def distinct(scores: Mapping[str, float]) -> dict[str, float]:
    """The best documents, as deep as a measure looks, with scores that keep their order and are all different."""
    order = sorted(scores, key=lambda document: (-scores[document], document))[:DEPTH]
    return {document: float(len(order) - rank) for rank, document in enumerate(order)}
