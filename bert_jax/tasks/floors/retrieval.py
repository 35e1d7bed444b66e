"""Search without a network: BM25."""

from collections.abc import Mapping

from bert_jax.tasks.libraries import FLOORS, needed, without_jax
from bert_jax.tasks.scores.retrieval import DEPTH


def bm25(documents: Mapping[str, str], queries: Mapping[str, str], depth: int = DEPTH) -> dict[str, dict[str, float]]:
    """The best documents of each query and their scores: bm25s with its defaults and English stop words.

    Args:
      documents: id -> text.
      queries: id -> text.
      depth: how many documents of each are kept; those of score 0 are left out.
    """
    with needed(FLOORS, "bm25s"), without_jax():
        import bm25s
    run: dict[str, dict[str, float]] = {query: {} for query in queries}
    corpus = bm25s.tokenize(list(documents.values()), stopwords="en", show_progress=False)
    if not corpus.vocab or not queries:
        return run
    index, ids = bm25s.BM25(), list(documents)
    index.index(corpus, show_progress=False)
    asked = bm25s.tokenize(list(queries.values()), stopwords="en", return_ids=False, show_progress=False)
    for query, words in zip(queries, asked, strict=True):
        if words:
            found, scores = index.retrieve(
                [words], k=min(depth, len(ids)), backend_selection="numpy", show_progress=False
            )
            best = zip(found[0].tolist(), scores[0].tolist(), strict=True)
            run[query] = {ids[place]: score for place, score in best if score > 0}
    return run
