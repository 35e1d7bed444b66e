"""Lines of two modalities: a text, a tab, and a sequence of ids between spaces (of a video's or a sound's tokens).

One vocabulary has both: VOCAB+ids:N is that of the text and N ids behind it, tokens <id:0>, <id:1> ... that were added
(added_tokens.py). A text may hold them in that spelling, too. Of a vocabulary of bare ids, both parts are its ids.
"""

import re
from collections.abc import Sequence

from bert_jax.errors import UserError
from bert_jax.text.added_tokens import AddedToken
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.text.token_ids import MOST_IDS, PREFIX
from bert_jax.text.tokenizer import Tokenizer

_JOINT = f"+{PREFIX}"
_TOKEN = re.compile(r"<id:(\d+)>")


def load_joint_tokenizer(vocabulary: str, do_lower_case: bool | None = None) -> Tokenizer:
    """`load_tokenizer`, also of VOCAB+ids:N; UserError if N ids cannot be added to that vocabulary."""
    text, joint, number = vocabulary.rpartition(_JOINT)
    if not joint:
        return load_tokenizer(vocabulary, do_lower_case)
    if not re.fullmatch(r"\d{1,8}", number) or not 1 <= int(number) <= MOST_IDS:
        raise UserError(f"--vocab={vocabulary}: write VOCAB+ids:N, N ids behind a text's vocabulary, 1 to {MOST_IDS:,}")
    tokenizer = load_tokenizer(text, do_lower_case)
    if tokenizer.kind == "ids":
        raise UserError(
            f"--vocab={vocabulary}: {text} is one of bare ids; give it a size for both, as in {PREFIX}VOCAB_SIZE"
        )
    if _sequence_ids(tokenizer):
        raise UserError(f"--vocab={vocabulary}: {text} has ids already; give it alone")
    first = tokenizer.vocab_size
    return tokenizer.with_added([AddedToken(first + n, f"<id:{n}>", normalized=False) for n in range(int(number))])


class PairLines:
    """Encodes lines of a text, a tab and ids."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """UserError if `tokenizer` has no ids."""
        self._tokenizer = tokenizer
        self._id_of = _sequence_ids(tokenizer)
        if not self._id_of and tokenizer.kind != "ids":
            raise UserError("--pairs=aligned pairs texts with ids, and --vocab has none; give --vocab=VOCAB+ids:N")

    def check(self, line: str) -> None:
        """Raise UserError, without the place of `line`, if it is not a text, a tab and ids of the vocabulary."""
        text, tab, ids = line.rpartition("\t")
        if not tab:
            raise UserError(f"{line[:40]!r} has no tab; with --pairs=aligned, write a text, a tab and its ids")
        self._tokenizer.check(text)
        self._encode_ids(ids)

    def encode_document(self, lines: Sequence[str]) -> list[list[int]]:
        """The token ids of each text, and then those of each line's ids; lines without a token of text are left out."""
        split = (line.rpartition("\t") for line in lines)
        pairs = [(self._tokenizer.encode(text), self._encode_ids(ids)) for text, _, ids in split]
        kept = [pair for pair in pairs if all(pair)]
        return [text for text, _ in kept] + [ids for _, ids in kept]

    def _encode_ids(self, ids: str) -> list[int]:
        if not self._id_of:
            return self._tokenizer.encode(ids)
        try:
            return [self._id_of[number] for number in ids.split()]
        except KeyError as error:
            raise UserError(
                f"{error.args[0]!r} is no id from 0 to {len(self._id_of) - 1}; correct it, or N in --vocab=VOCAB+ids:N"
            ) from None


def text_of(line: str) -> str:
    """The text of a line of both."""
    return line.rpartition("\t")[0]


def _sequence_ids(tokenizer: Tokenizer) -> dict[str, int]:
    """From an id as it is written in a line to that of its token."""
    found = ((_TOKEN.fullmatch(token), number) for number, token in enumerate(tokenizer.tokens))
    return {match[1]: number for match, number in found if match}
