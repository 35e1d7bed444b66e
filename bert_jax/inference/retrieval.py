"""Search by cosine among vectors that embed has written, and its scores beside BM25's."""

import dataclasses
from collections.abc import Iterable, Mapping, Set
from typing import Any

import numpy as np
from absl import logging
from etils import epath

from bert_jax.errors import UserError
from bert_jax.inference.embedding import Embedder, unit
from bert_jax.inference.embedding_files import id_of, read_vectors
from bert_jax.inference.embedding_options import EmbeddingOptions
from bert_jax.inference.embedding_run import texts_of
from bert_jax.inference.pooling import OF_TOKENS
from bert_jax.storage.json_file import finite_or_none
from bert_jax.tasks.encoding import TruncationCounts
from bert_jax.tasks.examples import TextExample
from bert_jax.tasks.floors.retrieval import bm25
from bert_jax.tasks.libraries import FLOORS, check_needed, without_jax
from bert_jax.tasks.lines import STANDARD_INPUT, shown
from bert_jax.tasks.retrieval import read_documents, read_judgements
from bert_jax.tasks.scores.retrieval import DEPTH, Qrels, Ranking, retrieval
from bert_jax.tasks.whole_texts import joined

_QUERIES = 256  # at a time
_MOST_FOR_FLOOR = 200_000  # documents: BM25 holds them all in memory


@dataclasses.dataclass(frozen=True)
class Searches:
    """Queries by their ids, and which documents answer them."""

    queries: Mapping[str, str]
    qrels: Qrels
    file: str  # of the queries, for messages

    def scored(self) -> dict[str, str]:
        """The queries for which a document is relevant: a score is a mean over them."""
        relevant = {query for query, gains in self.qrels.items() if any(gain > 0 for gain in gains.values())}
        return {query: text for query, text in self.queries.items() if query in relevant}


def read_searches(queries: str | None, qrels: str | None) -> Searches | None:
    """Of the files of --queries and --qrels; None if neither is given.

    Raises:
      UserError: only one is given, a file cannot be read, no document is relevant for a query that is there, or a
        library is missing that the scores need.
    """
    if not queries and not qrels:
        return None
    if not queries or not qrels:
        raise UserError(f"--{'qrels' if queries else 'queries'} is missing; a search needs queries and judgements")
    check_needed("a retrieval's score needs", "ir-measures", "ir_measures")
    with without_jax():
        check_needed(FLOORS, "bm25s", "bm25s")
    found = Searches(read_documents(queries), read_judgements(qrels), shown(queries))
    if not found.scored():
        raise UserError(
            f"{shown(qrels)} judges no document relevant (1 or more) for a query of {shown(queries)}; "
            "give files that belong together"
        )
    return found


def check_can_search(options: EmbeddingOptions, documents: str) -> None:
    """Raise UserError if the vectors of `documents`, once they are made, could not be searched."""
    if documents == STANDARD_INPUT:
        raise UserError("--input=-: a search reads the documents again, for BM25; write them to a file and give that")
    if options.pooling in OF_TOKENS:
        raise UserError(f"--pooling={options.pooling} gives no vectors of texts to search; give mean, cls or max")


def search_scores(
    options: EmbeddingOptions, embedder: Embedder, output: epath.PathLike, documents: str, searches: Searches
) -> dict[str, Any]:
    """Scores of a search in the vectors in `output`, which `options` made of the file `documents`; ready for JSON.

    Returns:
      documents, how many; queries, over how many the scores are means; scores; floors, those of BM25 (of at most
      200,000 documents).
    """
    asked = searches.scored()
    embedder.encoder.counts = TruncationCounts()
    ids, run = search(embedder, output, asked)
    embedder.encoder.log_lengths(searches.file, "--long=windows")
    _warn_of_lost("queries", searches.qrels.keys() - searches.queries.keys(), searches.file)
    judged = {document for gains in searches.qrels.values() for document in gains}
    _warn_of_lost("documents", judged - ids, shown(documents))
    qrels = {query: searches.qrels[query] for query in asked}
    floors = {}
    if len(ids) <= _MOST_FOR_FLOOR:
        floors["BM25"] = retrieval(qrels, bm25(_by_ids(texts_of(options, documents)), asked))
    else:
        logging.info(
            "no floor: BM25 would hold all %s documents in memory, and is left out above %s",
            f"{len(ids):,}",
            f"{_MOST_FOR_FLOOR:,}",
        )
    return {
        "documents": len(ids),
        "queries": len(asked),
        "scores": _for_json(retrieval(qrels, run)),
        "floors": {name: _for_json(scores) for name, scores in floors.items()},
    }


def _warn_of_lost(what: str, lost: Set[str], file: str) -> None:
    if lost:
        logging.warning("%d judged %s, such as %r, are not in %s", len(lost), what, min(lost), file)


def _by_ids(examples: Iterable[TextExample]) -> dict[str, str]:
    """The texts by the ids that their vectors have."""
    listed = list(examples)
    ids = [str(id_of(one, number)) for number, one in enumerate(listed)]
    return dict(zip(ids, joined(listed), strict=True))


def search(embedder: Embedder, output: epath.PathLike, queries: Mapping[str, str]) -> tuple[set[str], Ranking]:
    """The ids of the documents whose vectors are in `output`, and the best ones of each query with their cosines.

    Raises:
      UserError: an id is there twice, or the vectors are of tokens.
    """
    ids: list[str] = []

    def blocks() -> Iterable[np.ndarray]:
        for of_shard, vectors in read_vectors(output):
            ids.extend(map(str, of_shard))
            yield vectors

    scores, rows = nearest(embedder.of_texts(list(queries.values())), blocks(), DEPTH)
    known = set(ids)
    if len(known) < len(ids):
        raise UserError(f"{len(ids) - len(known)} documents have the id of another; give each its own")
    run = {
        query: {ids[row]: float(score) for score, row in zip(scores[place], rows[place], strict=True) if row >= 0}
        for place, query in enumerate(queries)
    }
    return known, run


def nearest(queries: np.ndarray, blocks: Iterable[np.ndarray], depth: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows with the highest cosines, of all blocks one after the other; one block is in memory at a time.

    Args:
      queries: [queries, dim].
      blocks: [rows, dim] each.
      depth: how many rows of each query.

    Returns:
      cosines float32 [queries, depth], descending, and row numbers int64 [queries, depth]; -1 where there are fewer.
    """
    queries = unit(queries.astype(np.float32))
    scores = np.full((len(queries), depth), -np.inf, np.float32)
    rows = np.full((len(queries), depth), -1, np.int64)
    first = 0
    for block in blocks:
        block = unit(block.astype(np.float32))
        for start in range(0, len(queries), _QUERIES):
            part = slice(start, start + _QUERIES)
            found = queries[part] @ block.T
            numbers = np.broadcast_to(np.arange(first, first + len(block)), found.shape)
            every, of_all = np.hstack([scores[part], found]), np.hstack([rows[part], numbers])
            best = np.argpartition(-every, depth - 1, axis=1)[:, :depth]
            scores[part] = np.take_along_axis(every, best, axis=1)
            rows[part] = np.take_along_axis(of_all, best, axis=1)
        first += len(block)
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)


def _for_json(scores: Mapping[str, float]) -> dict[str, float | None]:
    return {name: finite_or_none(value) for name, value in scores.items()}
