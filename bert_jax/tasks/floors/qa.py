"""Answers without a network: none, or what stands out in the sentence that shares most with the question."""

import math
import re
from collections import Counter
from collections.abc import Sequence

_WORD = re.compile(r"\w+")
# "1,000", "U.S", "$5", "al-Din": punctuation at the end is not in it
_TOKEN = re.compile(r"[\w$£€%][\w.,'’%$-]*[\w%]|\w")
_SENTENCE_END = re.compile(r"[.!?][\"”)\]]*\s+(?=[\"“(\[]?[A-Z0-9])|\n+")
_LINKS = frozenset(["of", "the", "and", "de", "in"])  # within a name: "University of Chicago"


def empty(n: int) -> list[str]:
    """That there is no answer, n times."""
    return [""] * n


def best_sentence(questions: Sequence[str], contexts: Sequence[str]) -> list[str]:
    """Of each question's context the sentence with most of the question's words, weighted by how rare they are.

    How rare a word is (inverse document frequency) comes from all sentences of the contexts.
    """
    split = {context: _sentences(context) for context in dict.fromkeys(contexts)}
    words = {sentence: _words(sentence) for sentences in split.values() for sentence in sentences}
    having = Counter(word for sentences in split.values() for sentence in sentences for word in words[sentence])
    total = sum(map(len, split.values()))

    def overlap(asked: set[str], sentence: str) -> float:
        return math.fsum(math.log((1 + total) / (1 + having[word])) for word in asked & words[sentence])

    answers = []
    for question, context in zip(questions, contexts, strict=True):
        asked = _words(question)
        answers.append(max(split[context], key=lambda sentence: overlap(asked, sentence), default=""))
    return answers


def names_and_numbers(questions: Sequence[str], contexts: Sequence[str]) -> list[str]:
    """The longest run of capitalised words and numbers in the best sentence; all of the sentence if it has none.

    The sentence's first word and the words of the question are in no run.
    """
    found = []
    for question, sentence in zip(questions, best_sentence(questions, contexts), strict=True):
        found.append(max(_runs(sentence, _words(question)), key=len, default=sentence))
    return found


def _runs(sentence: str, left_out: set[str]) -> list[str]:
    """Stretches of names and numbers, with words such as "of" between them, and nothing but space."""
    runs: list[tuple[int, int]] = []
    reached = 0  # the end of the last token that may be in the run
    for number, token in enumerate(_TOKEN.finditer(sentence)):
        word, start, end = token.group(), token.start(), token.end()
        goes_on = bool(runs) and not sentence[reached:start].strip()
        if number and word.lower() not in left_out and _stands_out(word):
            runs = [*runs[:-1], (runs[-1][0], end)] if goes_on else [*runs, (start, end)]
            reached = end
        elif goes_on and word in _LINKS:
            reached = end
    return [sentence[start:end] for start, end in runs]


def _stands_out(word: str) -> bool:
    return word[0].isupper() or any(letter.isdigit() for letter in word)


def _sentences(context: str) -> list[str]:
    ends = [end.end() for end in _SENTENCE_END.finditer(context)]
    pieces = [context[start:end].strip() for start, end in zip([0, *ends], [*ends, len(context)], strict=True)]
    return [piece for piece in pieces if piece]


def _words(text: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(text)}
