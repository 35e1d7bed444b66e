"""A vocabulary of bare ids, for what is tokenized already: molecules, video tokens, code, DNA.

A "sentence" is a line of ids between spaces. Written ids:VOCAB_SIZE on a command line, with the special tokens' ids
where they are not 0 to 4, as in ids:1029,pad=1024,unk=1025,cls=1026,sep=1027,mask=1028; the file is ids.json.
"""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from bert_jax.errors import UserError
from bert_jax.storage.json_file import read_json
from bert_jax.text.offsets import Encoding
from bert_jax.text.special_tokens import SPECIAL_TOKENS, SpecialIds

PREFIX = "ids:"

_NAMES = ("pad", "unk", "cls", "sep", "mask")
MOST_IDS = 10_000_000
_SPECIFICATION = re.compile(rf"{PREFIX}\d+(,({'|'.join(_NAMES)})=\d+)*")


@dataclasses.dataclass(frozen=True)
class _File:
    """What ids.json holds."""

    vocab_size: int
    pad: int
    unk: int
    cls: int
    sep: int
    mask: int


class TokenIds:
    """Ids from 0 to vocab_size - 1, five of them special."""

    kind = "ids"
    file_name = "ids.json"

    def __init__(self, vocab_size: int, special: Mapping[str, int], source: str) -> None:
        """`special` has the ids of pad, unk, cls, sep and mask; `source` names the vocabulary in errors."""
        if not len(_NAMES) < vocab_size <= MOST_IDS:
            raise UserError(f"{source}: the vocabulary size must be between {len(_NAMES) + 1} and {MOST_IDS:,}")
        if len(set(special.values())) < len(_NAMES) or not all(0 <= one < vocab_size for one in special.values()):
            raise UserError(
                f"{source}: {', '.join(f'{name}={special[name]}' for name in _NAMES)} must be five different ids "
                f"below the vocabulary size, {vocab_size}"
            )
        self.special_ids = SpecialIds(**special)
        self.tokens = [str(number) for number in range(vocab_size)]
        for name, token in zip(_NAMES, SPECIAL_TOKENS, strict=True):
            self.tokens[special[name]] = token
        self.continues_word = [False] * vocab_size
        self.lowercase = False
        # What a line may hold; unk is how some mark what they have no id for.
        self._id_of = {str(number): number for number in range(vocab_size)}
        self._added = {str(special[name]): name for name in _NAMES if name != "unk"}
        for text in self._added:
            del self._id_of[text]

    @classmethod
    def of_specification(cls, text: str) -> "TokenIds":
        """The vocabulary that "ids:VOCAB_SIZE,pad=0,..." means."""
        if not _SPECIFICATION.fullmatch(text):
            raise UserError(f"--vocab={text}: write ids:VOCAB_SIZE, or ids:VOCAB_SIZE,pad=0,unk=1,cls=2,sep=3,mask=4")
        size, *given = text.removeprefix(PREFIX).split(",")
        special = dict(zip(_NAMES, range(len(_NAMES)), strict=True))
        special |= {name: int(number) for name, _, number in (one.partition("=") for one in given)}
        return cls(int(size), special, f"--vocab={text}")

    @classmethod
    def read(cls, path: epath.Path, do_lower_case: bool | None) -> "TokenIds":
        """Read an ids.json."""
        del do_lower_case  # of numbers
        remedy = f"it holds vocab_size, {', '.join(_NAMES)}; fix it, or give --vocab={PREFIX}VOCAB_SIZE,pad=..."
        content = read_json(path, _File, remedy)
        return cls(content.vocab_size, {name: getattr(content, name) for name in _NAMES}, str(path))

    def files(self) -> dict[str, bytes]:
        """The name and content of each file that gives this vocabulary back."""
        content = {"vocab_size": len(self.tokens), **self.identity()}
        return {self.file_name: (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()}

    def identity(self) -> dict[str, Any]:
        """Everything beside the tokens that decides the ids of a line."""
        return {name: getattr(self.special_ids, name) for name in _NAMES}

    def encode(self, text: str) -> list[int]:
        """The ids of a line; UserError, without its place, for anything that may not be there."""
        try:
            return [self._id_of[word] for word in text.split()]
        except KeyError as error:
            raise UserError(self._refusal(error.args[0])) from None

    def encode_with_offsets(self, text: str) -> Encoding:
        """The ids of a line and the span of each number; UserError as from `encode`."""
        return Encoding(self.encode(text), [number.span() for number in re.finditer(r"\S+", text)])

    def check(self, text: str) -> None:
        """Raise the UserError of `encode` where that would, in less time."""
        words = text.split()
        if not all(map(self._id_of.__contains__, words)):
            raise UserError(self._refusal(next(word for word in words if word not in self._id_of)))

    def decode(self, ids: Sequence[int]) -> str:
        """The line of `ids`, special tokens by name."""
        return " ".join(self.tokens[number] for number in ids)

    def _refusal(self, word: str) -> str:
        if word in self._added:
            return f"{word} is the id of {self._added[word]}, which build_records adds itself; leave it out"
        return f"{word!r} is no id from 0 to {len(self.tokens) - 1}; correct it, or the size in --vocab"
