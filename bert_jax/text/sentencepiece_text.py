"""What ALBERT does to a text before SentencePiece sees it, which its .model file knows nothing of.

preprocess_text() of google-research/albert, tokenization.py: white space becomes single spaces, characters are
decomposed (NFKD) and lose their combining marks, and case goes. Hugging Face calls the switches do_lower_case and
keep_accents; its ALBERT makes TeX's quotes, `` and '', the usual ones besides.
"""

import dataclasses
import re
import unicodedata

from bert_jax.text.characters import UNMARKED
from bert_jax.text.offsets import AlignedText, Span, decomposed, lowercased

_WORD = re.compile(r"\S+")
_TEX_QUOTES = re.compile("``|''")


@dataclasses.dataclass(frozen=True)
class TextPreparation:
    """The two switches, and whether `` and '' become "."""

    lowercase: bool
    keep_accents: bool
    replaces_quotes: bool = False

    def prepared(self, text: str) -> str:
        """`text` as SentencePiece gets it."""
        text = " ".join(text.split())
        if self.replaces_quotes:
            text = _TEX_QUOTES.sub('"', text)
        if not self.keep_accents and not text.isascii():
            text = unicodedata.normalize("NFKD", text).translate(UNMARKED)
        return text.lower() if self.lowercase else text

    def aligned(self, text: str) -> AlignedText:
        """What `prepared` gives, with where it comes from; a mark is in the span of the letter that it was on."""
        aligned = _with_single_spaces(text)
        if self.replaces_quotes:
            aligned = _with_usual_quotes(aligned)
        if not self.keep_accents:
            aligned = decomposed(aligned, UNMARKED, "NFKD")
        return lowercased(aligned) if self.lowercase else aligned


def _with_single_spaces(text: str) -> AlignedText:
    spans: list[Span] = []
    for word in _WORD.finditer(text):
        if spans:
            spans.append((spans[-1][1], word.start()))
        spans.extend((at, at + 1) for at in range(*word.span()))
    return AlignedText(" ".join(text.split()), spans)


def _with_usual_quotes(aligned: AlignedText) -> AlignedText:
    spans: list[Span] = []
    last = 0
    for quotes in _TEX_QUOTES.finditer(aligned.text):
        start, end = quotes.span()
        spans += [*aligned.spans[last:start], aligned.span(start, end)]
        last = end
    return AlignedText(_TEX_QUOTES.sub('"', aligned.text), [*spans, *aligned.spans[last:]])
