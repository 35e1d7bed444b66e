"""A tokenizer of whatever holds one: a vocabulary directory, or the files of other programs."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from etils import epath

from bert_jax.errors import UserError
from bert_jax.storage.json_file import read_json
from bert_jax.storage.paths import check_readable, expanded
from bert_jax.text import token_ids
from bert_jax.text.added_tokens import AddedToken, check_added, read_added_tokens
from bert_jax.text.byte_bpe import ByteBPE
from bert_jax.text.model_files import Model, candidates, model_file, read_model, settings_of
from bert_jax.text.pair_template import PairTemplate
from bert_jax.text.token_ids import TokenIds
from bert_jax.text.tokenizer import DESCRIPTION, Tokenizer
from bert_jax.text.tokenizer_config import TokenizerConfig
from bert_jax.text.unigram import Unigram
from bert_jax.text.vocab_txt import warn_of_duplicates
from bert_jax.text.wordpiece import LONGEST_WORD


@dataclasses.dataclass(frozen=True)
class _Description:
    """The content of vocabulary.json."""

    kind: str
    vocab_size: int
    fingerprint: str
    lowercase: bool
    made_by: dict[str, Any]
    strip_accents: bool | None = None  # None: as lowercase
    tokenize_chinese_chars: bool = True
    separators_between: Annotated[int, msgspec.Meta(ge=1, le=10)] = 1
    second_segment: Annotated[int, msgspec.Meta(ge=0, le=1)] = 1
    keep_accents: bool | None = None  # not None: SentencePiece's text is prepared as ALBERT's
    max_input_chars_per_word: Annotated[int, msgspec.Meta(ge=1)] = LONGEST_WORD
    drops_private_use: bool = False  # WordPiece's; in the original's they stay
    replaces_quotes: bool = False  # of a text prepared as ALBERT's; in the original's they stay
    added_tokens: list[AddedToken] = dataclasses.field(default_factory=list)


def load_tokenizer(path: epath.PathLike, do_lower_case: bool | None = None) -> Tokenizer:
    """Load a vocabulary directory, a bare vocab.txt, tokenizer.json, vocab.json, .model or ids.json file, or "ids:...".

    `do_lower_case` is for vocabularies that do not determine it themselves: a bare vocab.txt is uncased unless it
    is False, and a foreign tokenizer.json or .model that keeps case gets lower-cased text when it is True. A .model
    that begins with ALBERT's special tokens and signs is ALBERT's: its text is prepared, uncased unless it is False.
    Hugging Face's directories are read too. Raises UserError for anything that is not such a vocabulary.
    """
    if str(path).startswith(token_ids.PREFIX):
        return Tokenizer(TokenIds.of_specification(str(path)))
    path = epath.Path(expanded(path))
    check_readable(path)
    if not path.exists():
        raise UserError(f"vocabulary {path} does not exist; make one with python -m bert_jax.build_vocab")
    if not path.is_dir():
        return _read_foreign(path, path, TokenizerConfig(do_lower_case))
    if not (path / DESCRIPTION).exists():
        file = model_file(path)
        return _read_foreign(path, file, settings_of(path, file, do_lower_case))
    return _read_described(path, do_lower_case)


def has_vocabulary(directory: epath.Path) -> bool:
    """Whether a vocabulary lies in `directory`, which need not exist."""
    return directory.is_dir() and any(file.exists() for file in candidates(directory))


def vocabulary_beside(weights: epath.Path) -> epath.Path | None:
    """The directory of the vocabulary that lies with `weights`, a workdir or another directory of them, if one does.

    A file has none, so what may lie beside it is not compared with a run's. interchange/pretrained.py has another
    rule: it needs a vocabulary, knows what the weights are, and takes what is beside a file.
    """
    return next((directory for directory in (weights / "tokenizer", weights) if has_vocabulary(directory)), None)


def _read_foreign(path: epath.Path, file: epath.Path, config: TokenizerConfig) -> Tokenizer:
    added = read_added_tokens(path)
    model = read_model(file, config, added)
    if isinstance(model, Unigram):
        model = model.as_alberts(config.do_lower_case)
    tokenizer = _with_added_tokens(model, added, str(path))
    warn_of_duplicates(tokenizer.tokens, file)
    return tokenizer


def _read_described(directory: epath.Path, do_lower_case: bool | None) -> Tokenizer:
    description = read_json(directory / DESCRIPTION, _Description, "build the vocabulary again")
    if do_lower_case not in (None, description.lowercase):
        raise UserError(
            f"vocabulary {directory} was made with lowercase={description.lowercase}; leave out --do_lower_case"
        )
    settings = description.strip_accents, description.tokenize_chinese_chars, description.keep_accents
    config = TokenizerConfig(
        description.lowercase,
        *settings,
        max_input_chars_per_word=description.max_input_chars_per_word,
        drops_private_use=description.drops_private_use,
        replaces_quotes=description.replaces_quotes,
    )
    model = read_model(model_file(directory), config)
    source = f"{directory / DESCRIPTION}"
    pairs = PairTemplate(description.separators_between, description.second_segment)
    tokenizer = _with_added_tokens(model, description.added_tokens, source, description.made_by, pairs)
    if tokenizer.fingerprint != description.fingerprint:
        raise UserError(
            f"the files in {directory} were changed after its {DESCRIPTION} was written; "
            f"build it again, or delete {DESCRIPTION} to use the files as they are"
        )
    return tokenizer


def _with_added_tokens(
    model: Model,
    found: Sequence[AddedToken],
    source: str,
    made_by: Mapping[str, Any] | None = None,
    pairs: PairTemplate | None = None,
) -> Tokenizer:
    added = check_added(found, model.tokens, dataclasses.astuple(model.special_ids), source)
    if isinstance(model, Unigram):  # which finds the tokens in its own file, user-defined ones first
        added = [token for token in added if token.id >= len(model.tokens)]
    if not isinstance(model, ByteBPE):
        return Tokenizer(model, made_by, added, pairs)
    if added and added[-1].id >= len(model.tokens):  # what is in tokenizer.json is among the tokens
        raise UserError(
            f"{source} adds {added[-1].content!r}, of which its tokenizer.json does not know; save it again"
        )
    return Tokenizer(model, made_by, pairs=pairs)
