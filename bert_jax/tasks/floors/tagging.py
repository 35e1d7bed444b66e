"""Tags without a network: the most frequent one of a word, or what was an entity in training."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from bert_jax.tasks.floors.tfidf import drawn
from bert_jax.tasks.scores.tagging import spans

Sentences = Sequence[Sequence[str]]


def most_frequent_tag(words: Sentences, tags: Sentences, test_words: Sentences) -> list[list[str]]:
    """Tags of test_words: each word's most frequent one, or for a new word the most frequent of all.

    Args:
      words: of each sentence to learn from; of more than 100,000 so many are drawn.
      tags: theirs.
      test_words: of each sentence to tag.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    rows = drawn(len(words))
    for row in rows:
        for word, tag in zip(words[row], tags[row], strict=True):
            counts[word][tag] += 1
    of_all = Counter(tag for row in rows for tag in tags[row]).most_common(1)
    of_new = of_all[0][0] if of_all else "O"
    of_word = {word: some.most_common(1)[0][0] for word, some in counts.items()}
    return [[of_word.get(word, of_new) for word in sentence] for sentence in test_words]


def longest_match(words: Sentences, tags: Sentences, test_words: Sentences) -> list[list[str]]:
    """Tags of test_words: the entities of training found again, the longest first, from left to right.

    Only those that are an entity at least half of the times that their words occur. They are tagged B- and I-; with E-
    and S- where training has those; with I- only where training has no B-.

    Args:
      words: of each sentence to learn from; of more than 100,000 so many are drawn.
      tags: theirs, with prefixes such as B- and I-.
      test_words: of each sentence to tag.
    """
    rows = drawn(len(words))
    tags = [tags[row] for row in rows]
    entities = _entities([words[row] for row in rows], tags)
    lengths = _lengths(entities)
    prefixes = {tag[0] for sentence in tags for tag in sentence}
    found = []
    for sentence in test_words:
        found.append(["O"] * len(sentence))
        for start, end, type_ in _matches(sentence, entities, lengths):
            found[-1][start:end] = [f"{prefix}-{type_}" for prefix in _prefixes(end - start, prefixes)]
    return found


def _entities(words: Sentences, tags: Sentences) -> dict[tuple[str, ...], str]:
    """An entity's words -> its most frequent type."""
    types: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for sentence, its_tags in zip(words, tags, strict=True):
        for type_, first, last in sorted(spans(its_tags), key=lambda span: span[1:]):
            types[tuple(sentence[first : last + 1])][type_] += 1
    occurrences: Counter[tuple[str, ...]] = Counter()
    lengths = _lengths(types)
    for sentence in words:
        for start in range(len(sentence)):
            occurrences.update(part for part in _parts(sentence, start, lengths) if part in types)
    return {
        entity: counts.most_common(1)[0][0]
        for entity, counts in types.items()
        if 2 * counts.total() >= occurrences[entity]
    }


def _matches(
    sentence: Sequence[str], entities: dict[tuple[str, ...], str], lengths: dict[str, list[int]]
) -> Iterator[tuple[int, int, str]]:
    """First word, end and type of each."""
    start = 0
    while start < len(sentence):
        entity = next((part for part in _parts(sentence, start, lengths) if part in entities), ())
        if entity:
            yield start, start + len(entity), entities[entity]
        start += max(len(entity), 1)


def _lengths(entities: Iterable[tuple[str, ...]]) -> dict[str, list[int]]:
    """First word -> the lengths of the entities that begin with it, the longest first."""
    lengths: dict[str, set[int]] = defaultdict(set)
    for entity in entities:
        lengths[entity[0]].add(len(entity))
    return {word: sorted(some, reverse=True) for word, some in lengths.items()}


def _parts(sentence: Sequence[str], start: int, lengths: dict[str, list[int]]) -> Iterator[tuple[str, ...]]:
    """What may be an entity there, the longest first."""
    for length in lengths.get(sentence[start], ()):
        if start + length <= len(sentence):
            yield tuple(sentence[start : start + length])


def _prefixes(length: int, known: set[str]) -> str:
    """Of an entity of so many words, as training writes them."""
    begin, end, single = ("B", "L" if "L" in known else "E", "U" if "U" in known else "S")
    if known & {"E", "L", "S", "U"}:
        return single if length == 1 else begin + "I" * (length - 2) + end
    return (begin if begin in known else "I") + "I" * (length - 1)
