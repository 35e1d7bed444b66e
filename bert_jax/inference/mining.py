"""Hard negatives: texts that a model takes to be near an anchor, and that are no positives of it.

As sentence-transformers' mine_hard_negatives: ranks are passed over, since the nearest texts are often positives that
nobody marked, and so is what is nearly as near as the positive itself (a margin relative to its cosine).
"""

import json
from collections.abc import Sequence

import numpy as np
from absl import logging

from bert_jax.errors import UserError
from bert_jax.inference.embedding import Embedder, unit
from bert_jax.inference.embedding_options import EmbeddingOptions, load
from bert_jax.inference.pooling import OF_TOKENS
from bert_jax.inference.progress import Progress
from bert_jax.storage.lock import only_maker
from bert_jax.storage.paths import check_is_other
from bert_jax.storage.whole_file import replace_text
from bert_jax.tasks.columns import PAIRS_AND_NEGATIVES, Columns
from bert_jax.tasks.examples import PairExample
from bert_jax.tasks.headers import HAS_HEADER
from bert_jax.tasks.ids import check_id
from bert_jax.tasks.lines import shown
from bert_jax.tasks.pairs import read_pairs
from bert_jax.tasks.tables import JSONL

_ANCHORS = 256  # compared with all candidates at a time


def mine_file(options: EmbeddingOptions, file: str, output: str, most: int, skip: int, margin: float) -> None:
    """Write the pairs of `file` as JSON Lines of anchor, positive and negatives, which the task similarity reads.

    Raises:
      UserError: the file cannot be read, or has scores.
    """
    if not output.endswith(JSONL):
        raise UserError(f"--output={output}: mined pairs are JSON Lines; give a name that ends in .jsonl")
    check_is_other(output, "mine", file)
    pairs = read_pairs(file, Columns.of(options.columns, PAIRS_AND_NEGATIVES), True, HAS_HEADER[options.header])
    for pair in pairs:
        check_id(pair)
    if pairs[0].score is not None:
        raise UserError(f"{shown(file)} has scores; mining is for anchors and positives, give a file of these alone")
    if options.pooling in OF_TOKENS:
        raise UserError(f"--pooling={options.pooling} gives no vectors of texts; give mean, cls or max")
    with only_maker(output):
        embedder = load(options).embedder
        found = mine(embedder, pairs, most, skip, margin)
        replace_text(output, "".join(f"{_line(*each)}\n" for each in zip(pairs, found, strict=True)))
    embedder.encoder.log_lengths(shown(file), "--long=windows")
    without = sum(not each for each in found)
    count = sum(map(len, found))
    logging.info("%s: %s negatives of %s pairs; %s have none", output, f"{count:,}", f"{len(pairs):,}", f"{without:,}")


def _line(pair: PairExample, mined: Sequence[str]) -> str:
    own = {} if pair.id is None else {"id": pair.id}
    negatives = list(dict.fromkeys([*pair.negatives, *mined]))
    return json.dumps({**own, "anchor": pair.text, "positive": pair.text2, "negatives": negatives}, ensure_ascii=False)


def mine(embedder: Embedder, pairs: Sequence[PairExample], most: int, skip: int, margin: float) -> list[list[str]]:
    """At most `most` negatives of each pair, the nearest first, among all positives of the file.

    An anchor's positives are none, in whatever row they are, nor what it is itself a positive of, nor its own text. Of
    the others the `skip` nearest are passed over, and those whose cosine is over `margin` of the positive's.
    """
    anchors = list(dict.fromkeys(pair.text for pair in pairs))
    candidates = list(dict.fromkeys(pair.text2 for pair in pairs))
    number = {text: place for place, text in enumerate(candidates)}
    of_anchor: dict[str, list[int]] = {text: [] for text in anchors}  # its pairs
    partners: dict[str, set[str]] = {text: {text} for text in anchors}  # and whom it is in a row with, and itself
    for place, pair in enumerate(pairs):
        of_anchor[pair.text].append(place)
        partners[pair.text].add(pair.text2)
        partners.get(pair.text2, set()).add(pair.text)
    with Progress("mining") as progress:
        vectors = [unit(embedder.of_texts(texts, progress.watch)) for texts in (anchors, candidates)]
    found: list[list[str]] = [[] for _ in pairs]
    for start in range(0, len(anchors), _ANCHORS):
        cosines = vectors[0][start : start + _ANCHORS] @ vectors[1].T
        for anchor, scores in zip(anchors[start : start + _ANCHORS], cosines, strict=True):
            others = scores.copy()
            others[[number[text] for text in partners[anchor] if text in number]] = -np.inf
            for place in of_anchor[anchor]:
                positive = float(scores[number[pairs[place].text2]])
                of_pair = negatives(others, positive, most, skip, margin)
                found[place] = [candidates[each] for each in of_pair]
    return found


def negatives(scores: np.ndarray, positive: float, most: int, skip: int, margin: float) -> list[int]:
    """Of the cosines [candidates], -inf where one is no candidate, the numbers of the negatives, the nearest first."""
    left = scores.copy()
    left[_highest(left, skip)] = -np.inf
    left[left > positive - (1.0 - margin) * abs(positive)] = -np.inf
    return [int(place) for place in _highest(left, most) if left[place] > -np.inf]


def _highest(scores: np.ndarray, count: int) -> np.ndarray:
    """The numbers of the `count` highest, descending; of equal ones the first."""
    if count < len(scores):
        least = np.partition(scores, len(scores) - count - 1)[len(scores) - count - 1] if count else np.inf
        above = np.flatnonzero(scores >= least)
    else:
        above = np.arange(len(scores))
    return above[np.argsort(-scores[above], kind="stable")][:count]
