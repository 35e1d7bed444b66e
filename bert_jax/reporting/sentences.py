"""Sample predictions as people read them: tokens joined to words, masked words marked, guesses beside them."""

import dataclasses
import re
from collections.abc import Container, Sequence
from typing import Any

from etils import epath

from bert_jax.config.pair_kinds import PAIR_KINDS
from bert_jax.errors import UserError
from bert_jax.reporting.percent import percent_of_one
from bert_jax.reporting.run_files import REMEDY, Count, Number
from bert_jax.storage.json_file import check_schema, read_json

_NOT_SHOWN = frozenset({"[CLS]", "[PAD]", "<s>", "<pad>"})
_SEPARATORS = frozenset({"[SEP]", "</s>"})
MASKS = ("[MASK]", "<mask>")
_WORD_STARTS = ("Ġ", "▁")  # how byte-level BPE and SentencePiece write the space before a word
# WordPiece keeps no spaces; before or after these, print has none.
_NO_SPACE_BEFORE = frozenset(".,;:!?)]}%’”_-/")
_NO_SPACE_AFTER = frozenset("([{‘“_-/")
_AFTER_APOSTROPHE = frozenset({"s", "t", "re", "ll", "ve", "m", "d"})


@dataclasses.dataclass(frozen=True)
class _Prediction:
    position: Count
    label: str
    guesses: list[tuple[str, Number]]


@dataclasses.dataclass(frozen=True)
class _StoredPair:
    label: str
    probability: Number


@dataclasses.dataclass(frozen=True)
class _StoredSample:
    tokens: list[str]
    predictions: list[_Prediction]


@dataclasses.dataclass(frozen=True)
class Guess:
    """A word the model thought of, `share` its probability in [0, 1]."""

    text: str
    share: float
    right: bool

    @property
    def percent(self) -> str:
        """The share as people write it."""
        return percent_of_one(self.share)


@dataclasses.dataclass(frozen=True)
class Masked:
    """A masked word: what was there, what the model saw in its place, and what it guessed, best first."""

    number: int
    text: str
    seen: str  # "" when it saw the mask itself; else another word or, to keep the model honest, the same
    guesses: Sequence[Guess]

    @property
    def verdict(self) -> str:
        """Where the right word is: "first", "among" the guesses, or it is "missed"."""
        ranks = [rank for rank, guess in enumerate(self.guesses) if guess.right]
        if not ranks:
            return "missed"
        return "among" if ranks[0] else "first"


@dataclasses.dataclass(frozen=True)
class Piece:
    """A stretch of a sentence: text with the space before it, if any, and the masked word that it is, if any."""

    text: str
    space: bool
    masked: Masked | None


@dataclasses.dataclass(frozen=True)
class Pair:
    """How a pair is, in words, and the probability in [0, 1] that the model gives to `belief`: that it belongs so."""

    statement: str
    belief: str
    share: float
    right: bool

    @property
    def percent(self) -> str:
        """The share as people write it."""
        return percent_of_one(self.share)


@dataclasses.dataclass(frozen=True)
class Sample:
    """One record: its sentences, its masked words, and its pair, if it is one of two texts."""

    sentences: Sequence[Sequence[Piece]]
    masked: Sequence[Masked]
    pair: Pair | None


def readable(sample: dict[str, Any]) -> Sample:
    """A record of samples.json, made readable."""
    tokens = sample["tokens"]
    marks_words = any(token.startswith(_WORD_STARTS) for token in tokens)
    masked = {
        prediction["position"]: _masked(number, prediction, tokens, marks_words)
        for number, prediction in enumerate(sample["predictions"], start=1)
    }
    labels = {prediction["position"]: prediction["label"] for prediction in sample["predictions"]}
    return Sample(
        sentences=[
            _joined([(labels.get(at, tokens[at]), masked.get(at)) for at in positions], marks_words)
            for positions in _sentences(tokens, labels)
        ],
        masked=list(masked.values()),
        pair=_pair(sample, "the sample"),
    )


def split_at_masks(text: str, masks: int) -> list[str]:
    """The parts of a text between its masks, of which it has so many.

    [MASK] is one for every vocabulary, <mask> only for those that spell it so: for others it is text.
    """
    parts = text.split(MASKS[0])
    return parts if len(parts) == masks + 1 else re.split("|".join(map(re.escape, MASKS)), text)


def guesses_of(masks: Sequence[Sequence[tuple[str, float]]]) -> list[list[Guess]]:
    """For each mask of a text (token, probability) of the words that a model puts there."""
    marks_words = any(token.startswith(_WORD_STARTS) for words in masks for token, _ in words)
    return [[Guess(_alone(token, marks_words), share, right=False) for token, share in words] for words in masks]


def _pair(sample: dict[str, Any], source: str) -> Pair | None:
    """The pair of a record of `source`; a UserError if it is damaged."""
    for kind in PAIR_KINDS.values():
        if (pair := sample.get(kind.name)) is not None:
            found = check_schema(pair, dict[str, Any], source, REMEDY)
            values = {"label": found.get("label"), "probability": found.get(kind.probability)}
            stored = check_schema(values, _StoredPair, source, REMEDY)
            label = int(stored.label != kind.labels[0])
            right = (stored.probability >= 0.5) == (label == 0)
            return Pair(kind.statements[label], kind.belief, stored.probability, right)
    return None


def _sentences(tokens: Sequence[str], labels: Container[int]) -> list[list[int]]:
    """Positions of the words of each sentence; a masked position is a word, whatever stands there."""
    sentences: list[list[int]] = [[]]
    for at, token in enumerate(tokens):
        if at in labels or token not in _NOT_SHOWN | _SEPARATORS:
            sentences[-1].append(at)
        elif token in _SEPARATORS:
            sentences.append([])
    return [positions for positions in sentences if positions]


def _masked(number: int, prediction: dict[str, Any], tokens: Sequence[str], marks_words: bool) -> Masked:
    label, seen = prediction["label"], tokens[prediction["position"]]
    return Masked(
        number=number,
        text=_alone(label, marks_words),
        seen="" if seen in MASKS else _alone(seen, marks_words),
        guesses=[
            Guess(_alone(token, marks_words), share, right=token == label) for token, share in prediction["guesses"]
        ],
    )


def _joined(words: Sequence[tuple[str, Masked | None]], marks_words: bool) -> list[Piece]:
    texts = [_text(token, marks_words) for token, _ in words]
    return [
        Piece(
            text=texts[at],
            space=at > 0 and not _continues(token, marks_words) and (marks_words or _spaced(texts, at)),
            masked=masked,
        )
        for at, (token, masked) in enumerate(words)
    ]


def _spaced(texts: Sequence[str], at: int) -> bool:
    """Whether print has a space before the word at `at`, where the tokens do not show it."""
    before, text, after = texts[at - 1], texts[at], texts[at + 1] if at + 1 < len(texts) else ""
    if text in _NO_SPACE_BEFORE or before in _NO_SPACE_AFTER:
        return False
    return not (text == "'" and after in _AFTER_APOSTROPHE) and not (before == "'" and text in _AFTER_APOSTROPHE)


def _continues(token: str, marks_words: bool) -> bool:
    if marks_words:
        return not token.startswith(_WORD_STARTS)
    return token.startswith("##") and len(token) > 2


def _text(token: str, marks_words: bool) -> str:
    """A token without the mark of where words begin."""
    if marks_words:
        return token.removeprefix("Ġ").removeprefix("▁") or token
    return token[2:] if _continues(token, marks_words) else token


def _alone(token: str, marks_words: bool) -> str:
    """A token as it stands by itself; a leading hyphen means that it continues a word."""
    text = _text(token, marks_words)
    return f"-{text}" if _continues(token, marks_words) and text.isalnum() else text


def read_samples(path: epath.Path) -> list[dict[str, Any]]:
    """The records of samples.json; none if the run has not ended."""
    if not path.exists():
        return []
    samples = read_json(path, list[dict[str, Any]], REMEDY)
    for sample, stored in zip(samples, check_schema(samples, list[_StoredSample], str(path), REMEDY), strict=True):
        if any(prediction.position >= len(stored.tokens) for prediction in stored.predictions):
            raise UserError(f"{path} is damaged: a prediction is of no token; {REMEDY}")
        _pair(sample, str(path))
    return samples
