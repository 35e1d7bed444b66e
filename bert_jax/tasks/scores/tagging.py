"""Scores of one tag a word: entities, as spans with a type, or the tags themselves."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np

from bert_jax.tasks.libraries import needed
from bert_jax.tasks.tags import have_ends

Convention = Literal["conlleval", "strict"]
Span = tuple[str, int, int]  # type, first word, last word
Tags = Sequence[Sequence[str]]  # of each sentence

_AS_BIOES = {"L": "E", "U": "S"}  # BILOU has other letters for the same


def tagging(gold: Tags, predicted: Tags, convention: Convention = "conlleval") -> dict[str, float]:
    """Scores of entities.

    Args:
      gold: the tags of each sentence; all but O have a prefix such as B- or I- (tags.are_spans).
      predicted: likewise, as many.
      convention: see `spans`.

    Returns:
      precision, recall and f1 of whole entities over all types (0 where 0/0), as from seqeval.
    """
    return from_counts(span_counts(gold, predicted, convention))


def spans(tags: Sequence[str], convention: Convention = "conlleval", ends: bool = False) -> set[Span]:
    """The entities of one sentence.

    Args:
      tags: of its words.
      convention: "conlleval", seqeval's default: an I- without a B- before it begins an entity, so that tags that only
        have I- have entities too. "strict": such an I- is none.
      ends: whether the last word of an entity has a prefix of its own (E-, S-, L-, U-). The strict convention then
        asks for it: it is the scheme IOBES, else IOB2.
    """
    with needed("a tagging's score needs", "seqeval"):
        from seqeval.metrics.sequence_labeling import get_entities
        from seqeval.scheme import IOB2, IOBES, Entities
    tags = [_AS_BIOES.get(tag[:1], tag[:1]) + tag[1:] for tag in tags]
    if convention == "conlleval":
        return set(get_entities(tags))
    (entities,) = Entities([tags], scheme=IOBES if ends else IOB2).entities
    return {(entity.tag, entity.start, entity.end - 1) for entity in entities}


def span_counts(gold: Tags, predicted: Tags, convention: Convention = "conlleval") -> np.ndarray:
    """int64 [sentences, 3]: entities that are right, predicted and gold. What `from_counts` takes, a sentence a row."""
    rows = [(len(true & found), len(found), len(true)) for true, found in _both(gold, predicted, convention)]
    return np.asarray(rows, np.int64).reshape(-1, 3)


def from_counts(counts: np.ndarray) -> dict[str, float]:
    """Precision, recall and f1 of rows of `span_counts`, or of some of them."""
    right, predicted, gold = (int(count) for count in counts.sum(axis=0))
    return {
        "precision": right / max(predicted, 1),
        "recall": right / max(gold, 1),
        "f1": 2 * right / max(predicted + gold, 1),
    }


def per_type(gold: Tags, predicted: Tags, convention: Convention = "conlleval") -> dict[str, dict[str, float]]:
    """Type -> precision, recall, f1 and support (entities in gold), in the order of the alphabet.

    Types that only predictions have are there too, with support 0.
    """
    counts: dict[str, Counter[str]] = {}
    for true, found in _both(gold, predicted, convention):
        for name, some in (("right", true & found), ("predicted", found), ("gold", true)):
            for type_, _, _ in some:
                counts.setdefault(type_, Counter())[name] += 1
    return {
        type_: from_counts(np.asarray([[count["right"], count["predicted"], count["gold"]]]))
        | {"support": float(count["gold"])}
        for type_, count in sorted(counts.items())
    }


def word_scores(gold: Tags, predicted: Tags) -> dict[str, float]:
    """Accuracy of words and macro_f1 over the tags that occur, over one or more words."""
    with needed("a tagging's score needs", "scikit-learn"):
        from sklearn import metrics
    true = [tag for tags in gold for tag in tags]
    found = [tag for tags in predicted for tag in tags]
    labels = sorted({*true, *found})
    return {
        "accuracy": float(metrics.accuracy_score(true, found)),
        "macro_f1": float(metrics.f1_score(true, found, labels=labels, average="macro", zero_division=0)),
    }


def _both(gold: Tags, predicted: Tags, convention: Convention) -> list[tuple[set[Span], set[Span]]]:
    """The entities of each sentence, in gold and predicted."""
    ends = have_ends(tag for sentences in (gold, predicted) for tags in sentences for tag in tags)
    return [
        (spans(true, convention, ends), spans(found, convention, ends))
        for true, found in zip(gold, predicted, strict=True)
    ]
