"""The one tokenizer interface: text to ids and back, whatever the vocabulary's kind.

The kinds themselves are in wordpiece.py, byte_bpe.py, unigram.py and token_ids.py. A vocabulary directory holds the
kind's own file (vocab.txt, tokenizer.json, tokenizer.model or ids.json) and vocabulary.json, which says what made it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from bert_jax.errors import UserError
from bert_jax.storage.paths import check_readable
from bert_jax.storage.whole_file import replace_text, whole_file
from bert_jax.text import token_ids
from bert_jax.text.byte_bpe import ByteBPE
from bert_jax.text.token_ids import TokenIds
from bert_jax.text.unigram import Unigram
from bert_jax.text.wordpiece import WordPiece

DESCRIPTION = "vocabulary.json"

Model = WordPiece | ByteBPE | Unigram | TokenIds

_MODEL_OF_SUFFIX: dict[str, type[Model]] = {
    ".txt": WordPiece,
    ".model": Unigram,
    ".json": ByteBPE,
}


class Tokenizer:
    """Text to token ids and back. Cheap to load; load one in each worker process.

    Attributes:
        kind: "wordpiece", "bpe", "sentencepiece" or "ids".
        tokens: the token of each id.
        vocab_size: how many ids there are.
        pad_id, unk_id, cls_id, sep_id, mask_id: the special tokens.
        continues_word: per id, whether its token continues the word before it ("##..." in WordPiece).
        lowercase: whether text is lower-cased before it is cut.
        fingerprint: 16 hex digits; equal exactly when the same text always gives the same ids.
        made_by: the options and input of the build_vocab that made it; empty for a foreign vocabulary.
    """

    def __init__(self, model: Model, made_by: Mapping[str, Any] | None = None) -> None:
        """Wrap one kind's model."""
        self._model = model
        self.kind: str = model.kind
        self.tokens: list[str] = model.tokens
        self.vocab_size: int = len(model.tokens)
        self.pad_id: int = model.special_ids.pad
        self.unk_id: int = model.special_ids.unk
        self.cls_id: int = model.special_ids.cls
        self.sep_id: int = model.special_ids.sep
        self.mask_id: int = model.special_ids.mask
        self.continues_word: list[bool] = model.continues_word
        self.lowercase: bool = model.lowercase
        self.fingerprint: str = _fingerprint(model)
        self.made_by: dict[str, Any] = dict(made_by or {})

    def encode(self, text: str) -> list[int]:
        """The ids of `text`. No special tokens are added, and their spelling in `text` is ordinary text."""
        return self._model.encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        """Readable text of `ids`; not always the very text that was encoded."""
        return self._model.decode(ids)

    def save(self, directory: epath.PathLike) -> None:
        """Write the tokenizer's files into `directory`, vocabulary.json last, for load_tokenizer to read."""
        directory = epath.Path(directory)
        description = {
            "kind": self.kind,
            "vocab_size": self.vocab_size,
            "fingerprint": self.fingerprint,
            "lowercase": self.lowercase,
            "made_by": self.made_by,
        }
        for name, content in self._model.files().items():
            with whole_file(directory / name) as file:
                file.write(content)
        replace_text(directory / DESCRIPTION, json.dumps(description, indent=2, sort_keys=True) + "\n")


def load_tokenizer(path: epath.PathLike, do_lower_case: bool | None = None) -> Tokenizer:
    """Load a vocabulary directory, a bare vocab.txt, tokenizer.json, .model or ids.json file, or "ids:VOCAB_SIZE".

    `do_lower_case` is for vocabularies that do not say it themselves: a bare vocab.txt is uncased unless it
    is False, and a foreign tokenizer.json or .model that keeps case gets lower-cased text when it is True.
    Hugging Face's directories are read too. Raises UserError for anything that is not such a vocabulary.
    """
    if str(path).startswith(token_ids.PREFIX):
        return Tokenizer(TokenIds.of_specification(str(path)))
    path = epath.Path(path)
    check_readable(path)
    if not path.exists():
        raise UserError(f"vocabulary {path} does not exist; make one with python -m bert_jax.build_vocab")
    if not path.is_dir():
        return Tokenizer(_read_model(path, do_lower_case))
    if not (path / DESCRIPTION).exists():
        return Tokenizer(_read_model(_model_file(path), _hugging_face_case(path, do_lower_case)))
    description = read_description(path)
    if do_lower_case not in (None, description["lowercase"]):
        raise UserError(
            f"vocabulary {path} was made with lowercase={description['lowercase']}; leave out --do_lower_case"
        )
    tokenizer = Tokenizer(_read_model(_model_file(path), description["lowercase"]), description["made_by"])
    if tokenizer.fingerprint != description["fingerprint"]:
        raise UserError(
            f"the files in {path} were changed after its {DESCRIPTION} was written; "
            f"build it again, or delete {DESCRIPTION} to use the files as they are"
        )
    return tokenizer


def read_description(directory: epath.Path) -> dict[str, Any]:
    """The content of a vocabulary directory's vocabulary.json; UserError if it is not one."""
    try:
        description = json.loads((directory / DESCRIPTION).read_text())
        missing = {"kind", "vocab_size", "fingerprint", "lowercase", "made_by"} - description.keys()
    except (ValueError, AttributeError):
        raise UserError(f"{directory / DESCRIPTION} is damaged; build the vocabulary again") from None
    if missing:
        raise UserError(f"{directory / DESCRIPTION} lacks {sorted(missing)}; build the vocabulary again")
    return description


def _model_file(directory: epath.Path) -> epath.Path:
    # Hugging Face's directories often hold a tokenizer.json beside the file that it was converted from.
    names = ["tokenizer.json", TokenIds.file_name]
    candidates = [directory / "vocab.txt", *sorted(directory.glob("*.model")), *(directory / name for name in names)]
    for file in candidates:
        if file.exists():
            return file
    raise UserError(f"{directory} holds no vocab.txt, tokenizer.json or *.model; give another vocabulary")


def _read_model(file: epath.Path, do_lower_case: bool | None) -> Model:
    if file.name == TokenIds.file_name:
        return TokenIds.read(file, do_lower_case)
    if file.suffix not in _MODEL_OF_SUFFIX:
        raise UserError(f"{file} is no vocabulary: its name must end in {', '.join(_MODEL_OF_SUFFIX)}")
    return _MODEL_OF_SUFFIX[file.suffix].read(file, do_lower_case)


def _hugging_face_case(directory: epath.Path, do_lower_case: bool | None) -> bool | None:
    config = directory / "tokenizer_config.json"
    if do_lower_case is not None or not config.exists():
        return do_lower_case
    try:
        return json.loads(config.read_text()).get("do_lower_case")
    except (ValueError, AttributeError):
        raise UserError(f"{config} is damaged; mend it or give --do_lower_case") from None


def _fingerprint(model: Model) -> str:
    deciding = {"kind": model.kind, "tokens": model.tokens, **model.identity()}
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode("ascii")).hexdigest()[:16]
