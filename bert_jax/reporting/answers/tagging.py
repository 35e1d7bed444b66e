"""A tag a word: a table of types, and sentences with what gold and model say of them."""

from collections.abc import Iterator, Sequence
from functools import partial

from bert_jax.reporting.answers.classification import confusions, label_table, shares_of
from bert_jax.reporting.answers.marks import Stretch, marked
from bert_jax.reporting.answers.parts import (
    MOST_MISTAKES,
    Answered,
    Card,
    Cards,
    Make,
    Marked,
    Table,
    cells,
)
from bert_jax.tasks.examples import TaggingExample
from bert_jax.tasks.scores.tagging import per_type, spans
from bert_jax.tasks.tagging import Tagging
from bert_jax.tasks.tags import are_spans, have_ends
from bert_jax.tasks.task import Prediction

Tagged = Sequence[tuple[list[str], TaggingExample, Prediction]]  # gold tags, the sentence, what is predicted

_MOST_WORDS = 150  # of a sentence
_MOST_RIGHT = 3
_KEYS = (("right", "right"), ("wrong", "wrong"), ("missed", "missed"), ("wrong missed", "wrong in part"))


def tagging_parts(task: Tagging, answered: Answered) -> Iterator[Make]:
    """A table of types or tags; sentences, the worst and a few right ones."""
    gold, predicted = task.gold_tags([one for one, _ in answered]), [list(each["tags"]) for _, each in answered]
    if are_spans(task.labels):
        yield partial(_types, gold, predicted, task)
    else:
        words = [tag for tags in gold for tag in tags], [tag for tags in predicted for tag in tags]
        yield partial(label_table, *words, task.labels, "Tag")
        yield partial(confusions, *words, task.labels)
    tagged = [(true, one, each) for true, (one, each) in zip(gold, answered, strict=True)]
    yield partial(_worst, task, tagged)
    yield partial(_right, task, tagged)


def _types(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], task: Tagging) -> Table:
    rows = [
        cells(name, *shares_of(found), f"{found['support']:,.0f}")
        for name, found in per_type(gold, predicted, task.convention).items()
    ]
    convention = {
        "conlleval": "as conlleval and seqeval count: an I- without a B- before it begins an entity",
        "strict": "strictly: an I- without a B- before it is no entity",
    }[task.convention]
    explained = f"Whole entities of the right type, {convention}."
    return Table("Scores by entity type", explained, ("Type", "precision", "recall", "F1", "entities"), rows)


def _worst(task: Tagging, tagged: Tagged) -> Cards:
    errors = [_errors(task, gold, each["tags"]) for gold, _, each in tagged]
    wrong = sorted((place for place, number in enumerate(errors) if number), key=lambda place: -errors[place])
    cards = [_card(task, *tagged[place]) for place in wrong[:MOST_MISTAKES]]
    explained = f"{len(wrong):,} of {len(tagged):,} sentences have a mistake. " + (
        "First those with the most; what gold says stands in brackets." * bool(cards)
    )
    return Cards("Worst mistakes", explained, cards, _keys(task) if cards else ())


def _right(task: Tagging, tagged: Tagged) -> Cards | None:
    """The right sentences that have the most to find."""
    right = [found for found in tagged if found[0] == list(found[2]["tags"])]
    right.sort(key=lambda found: -len({tag for tag in found[0] if tag != "O"}))
    cards = [_card(task, *found) for found in right[:_MOST_RIGHT]]
    return Cards("Some correct predictions", "", cards) if cards and are_spans(task.labels) else None


def _keys(task: Tagging) -> Sequence[tuple[str, str]]:
    return _KEYS if are_spans(task.labels) else (("wrong", "wrong"),)


def _errors(task: Tagging, gold: Sequence[str], predicted: Sequence[str]) -> int:
    """Spans, or tags, that are wrong or missed."""
    if are_spans(task.labels):
        return len(set(_stretches(task, gold)) ^ set(_stretches(task, predicted)))
    return sum(true != said for true, said in zip(gold, predicted, strict=True))


def _stretches(task: Tagging, tags: Sequence[str]) -> list[Stretch]:
    found = spans(tags, task.convention, have_ends(task.labels))
    return [Stretch(first, last + 1, name) for name, first, last in sorted(found)]


def _card(task: Tagging, gold: Sequence[str], one: TaggingExample, each: Prediction) -> Card:
    return Card("", [_sentence(task, one.words, gold, each["tags"])], place=one.place)


def _sentence(task: Tagging, words: Sequence[str], gold: Sequence[str], predicted: Sequence[str]) -> list[Marked]:
    shown = slice(0, _MOST_WORDS)
    words, gold, predicted = words[shown], gold[shown], predicted[shown]
    if are_spans(task.labels):
        return marked(words, _stretches(task, gold), _stretches(task, predicted), " ")
    pairs = list(enumerate(zip(gold, predicted, strict=True)))
    said = [Stretch(place, place + 1, f"{said} (gold: {true})") for place, (true, said) in pairs if true != said]
    return marked(words, [], said, " ")
