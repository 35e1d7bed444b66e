"""The two files of a byte-level BPE as GPT-2 and RoBERTa have them, vocab.json and merges.txt, as a tokenizer.json.

vocab.json has the id of each token; merges.txt the pairs to merge, most important first, behind a line with a version.
"""

import json
from collections.abc import Sequence
from typing import Annotated

import msgspec
import tokenizers
from etils import epath
from tokenizers import decoders, models, pre_tokenizers, processors

from bert_jax.errors import UserError
from bert_jax.storage.json_file import read_json
from bert_jax.text.added_tokens import AddedToken
from bert_jax.text.special_tokens import SpecialIds, find_special_ids

VOCAB, MERGES = "vocab.json", "merges.txt"

_REMEDY = "give the vocab.json that belongs to merges.txt, or a tokenizer.json"
_VERSION = "#version:"
_Ids = dict[str, Annotated[int, msgspec.Meta(ge=0)]]


def as_tokenizer_json(vocab: epath.Path, added_tokens: Sequence[AddedToken], add_prefix_space: bool) -> bytes:
    """The content of the tokenizer.json that gives the ids of `vocab` and of the merges.txt beside it.

    The mask takes the space on its left along, and two texts have two separators between them, as in RoBERTa
    (fairseq/models/roberta/hub_interface.py). `add_prefix_space`: before a text that does not begin with one.

    Raises:
      UserError: one of the files is missing or is no such file.
    """
    ids = read_json(vocab, _Ids, _REMEDY)
    merges = _read_merges(vocab.parent / MERGES)
    tokens = sorted(ids, key=ids.__getitem__)
    if [ids[token] for token in tokens] != list(range(len(tokens))):
        raise UserError(f"{vocab} gives an id twice or leaves one out; {_REMEDY}")
    special = find_special_ids(tokens, str(vocab))
    try:
        library = tokenizers.Tokenizer(models.BPE(ids, merges))
    except Exception as error:  # the library raises nothing narrower
        raise UserError(f"{vocab} and {MERGES} do not belong together ({error}); {_REMEDY}") from None
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    library.decoder = decoders.ByteLevel()
    library.add_special_tokens(_special_tokens(tokens, special))
    for token in added_tokens:
        if token.content not in _contents(tokens, special):
            library.add_tokens([_of_library(token)])
    sep, cls = (tokens[special.sep], special.sep), (tokens[special.cls], special.cls)
    library.post_processor = processors.RobertaProcessing(sep, cls, add_prefix_space=add_prefix_space)
    return library.to_str().encode()


def with_prefix_space(content: bytes, add_prefix_space: bool) -> bytes:
    """A tokenizer.json whose byte-level BPE puts a space before a text, or none."""
    file = json.loads(content)
    splitter = file.get("pre_tokenizer") or {}
    if splitter.get("add_prefix_space", add_prefix_space) == add_prefix_space:
        return content
    splitter["add_prefix_space"] = add_prefix_space
    return json.dumps(file, ensure_ascii=False).encode()


def _read_merges(path: epath.Path) -> list[tuple[str, str]]:
    if not path.exists():
        raise UserError(f"{path} is missing, without which {VOCAB} says nothing of a text; put it there")
    try:
        # Tokens hold characters at which splitlines() would split.
        lines = path.read_bytes().decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text ({error.reason}); get the file again") from None
    pairs = [line.rstrip("\r").split(" ") for line in lines[lines[0].startswith(_VERSION) :] if line.strip()]
    wrong = next((pair for pair in pairs if len(pair) != 2), None)
    if wrong:
        raise UserError(f"{path} holds {' '.join(wrong)[:80]!r}, which is no pair of tokens; get the file again")
    return [(first, second) for first, second in pairs]


def _special_tokens(tokens: Sequence[str], special: SpecialIds) -> list[tokenizers.AddedToken]:
    return [
        tokenizers.AddedToken(content, special=True, normalized=False, lstrip=content == tokens[special.mask])
        for content in _contents(tokens, special)
    ]


def _contents(tokens: Sequence[str], special: SpecialIds) -> list[str]:
    return [tokens[one] for one in (special.pad, special.unk, special.cls, special.sep, special.mask)]


def _of_library(token: AddedToken) -> tokenizers.AddedToken:
    flags = {name: getattr(token, name) for name in ("single_word", "lstrip", "rstrip", "normalized", "special")}
    return tokenizers.AddedToken(token.content, **flags)
