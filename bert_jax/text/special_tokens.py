"""The five special tokens that BERT needs, and their spellings in different vocabularies."""

from collections.abc import Sequence
from dataclasses import dataclass

from bert_jax.errors import UserError

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ALBERTS_SIGNS = ("(", ")", '"', "-", ".", "–", "£", "€")  # ids 5 to 12 there, and never part of another piece
ALBERTS_SPECIAL = ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")  # in SentencePiece's spelling, ids 0 to 4 too

# Ours (and the original's) first, then what RoBERTa, ALBERT and XLNet call the same thing.
_SPELLINGS = {
    "pad": ("[PAD]", "<pad>"),
    "unk": ("[UNK]", "<unk>"),
    "cls": ("[CLS]", "<cls>", "<s>"),
    "sep": ("[SEP]", "<sep>", "</s>"),
    "mask": ("[MASK]", "<mask>"),
}


@dataclass(frozen=True)
class SpecialIds:
    """The ids of the special tokens in one vocabulary."""

    pad: int
    unk: int
    cls: int
    sep: int
    mask: int


def find_special_ids(tokens: Sequence[str], source: str) -> SpecialIds:
    """The special tokens' ids in `tokens`, the last one of a token that is there twice; UserError naming `source` if
    one is missing.
    """
    ids = {token: token_id for token_id, token in enumerate(tokens)}
    return SpecialIds(**{name: _find(ids, spellings, source) for name, spellings in _SPELLINGS.items()})


def _find(ids: dict[str, int], spellings: tuple[str, ...], source: str) -> int:
    for spelling in spellings:
        if spelling in ids:
            return ids[spelling]
    raise UserError(
        f"{source} has no token {' or '.join(spellings)}, which pretraining needs; "
        "add it, or make a vocabulary with python -m bert_jax.build_vocab"
    )
