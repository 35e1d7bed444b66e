"""How much of a corpus a vocabulary does not know, and why, by a sample of it.

Encoding takes longer than cutting, so the whole count comes with the shards; a sample is enough to stop a build of days
at its beginning.
"""

import random
import unicodedata

from bert_jax.errors import UserError
from bert_jax.text.document import Document
from bert_jax.text.findings import CAPITALS, CHARACTERS, LONG_WORD, NO_CAPITALS, PIECES, UNKNOWN, Finding
from bert_jax.text.tokenizer import Tokenizer

SUSPICIOUS_SHARE = 0.05  # of the tokens; text of the vocabulary's own kind has a hundredth of that

_SENTENCES = 256  # the first, then as many of every second, as many of every fourth ...
_LONGEST = 1000  # characters of one
_MOST_KEPT = 1000  # sentences with an unknown word
_NAMED_SHARE = 0.2  # of the unknown words: a cause of fewer is not named
_SHORT = 100  # characters; a word of these is not unknown for its length
_LONGEST_EXAMPLE = 30  # characters
_WITH_CHARACTERS = ("wordpiece", "sentencepiece")  # whose tokens are made of the text's own characters


class UnknownWords:
    """A sample of the sentences of a stream of documents: the more have been read, the fewer of the next are taken."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._random = random.Random(0)
        self._seen, self._next, self._distance = 0, 0, 1  # sentences
        self._taken = 0
        self._tokens = self._unknown = 0  # each counted for all sentences that its own stands for
        self._kept: list[tuple[str, str]] = []  # sentences with unknown words, and their places

    def sample(self, document: Document) -> None:
        """Take the next sentences of the sample that are in this document."""
        first, self._seen = self._seen, self._seen + len(document.sentences)
        while self._next < self._seen:
            self._take(document, self._next - first)
            self._next += self._random.randrange(1, 2 * self._distance)

    def share(self) -> float:
        """Of the tokens, [UNK]."""
        return self._unknown / max(1, self._tokens)

    def causes(self) -> dict[str, Finding]:
        """The unknown words of the sample by what makes them so; none if they are few."""
        if self.share() <= SUSPICIOUS_SHARE:
            return {}
        found: dict[str, Finding] = {}
        characters = set("".join(self._tokenizer.tokens))
        for sentence, place in self._kept:
            for word in filter(self._is_unknown, sentence.split()):
                cause, example = self._cause(word, characters)
                found.setdefault(cause, Finding()).add(place, example[:_LONGEST_EXAMPLE])
        total = sum(one.count for one in found.values())
        return {cause: one for cause, one in found.items() if one.count >= _NAMED_SHARE * total}

    def _take(self, document: Document, number: int) -> None:
        sentence = document.sentences[number]
        if len(sentence) > _LONGEST:
            sentence = sentence[:_LONGEST].rpartition(" ")[0] or sentence[:_LONGEST]
        ids = self._encode(sentence)
        unknown = ids.count(self._tokenizer.unk_id)
        self._tokens += len(ids) * self._distance
        self._unknown += unknown * self._distance
        if unknown and len(self._kept) < _MOST_KEPT:
            self._kept.append((sentence, document.place(number)))
        self._taken += 1
        if self._taken % _SENTENCES == 0:
            self._distance *= 2

    def _encode(self, text: str) -> list[int]:
        try:
            return self._tokenizer.encode(text)
        except UserError:  # a line that is not of ids: cutting raises that, with its place
            return []

    def _is_unknown(self, word: str) -> bool:
        return self._tokenizer.unk_id in self._encode(word)

    def _cause(self, word: str, characters: set[str]) -> tuple[str, str]:
        """Why a word is unknown, and an example of it."""
        if self._tokenizer.kind not in _WITH_CHARACTERS:
            return UNKNOWN, word
        missing = self._missing(word, characters)
        if len(word) > _SHORT and not missing and not self._is_unknown(word[:_SHORT]):
            return LONG_WORD, word
        if not self._tokenizer.lowercase and not self._is_unknown(_folded(word)[:_SHORT]):
            return CAPITALS, word
        if self._tokenizer.lowercase and missing and characters.issuperset(word):
            return NO_CAPITALS, word
        if missing:
            return CHARACTERS, f"{missing} ({unicodedata.name(missing, 'unnamed').title()})"
        return PIECES, word

    def _missing(self, word: str, characters: set[str]) -> str:
        """The first character of a word that is in no token, or ""."""
        plain = word.lower() if self._tokenizer.lowercase else word
        return next((one for one in plain if one not in characters and not characters.issuperset(_folded(one))), "")


def _folded(text: str) -> str:
    """Small letters without accents."""
    return "".join(one for one in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(one) != "Mn")
