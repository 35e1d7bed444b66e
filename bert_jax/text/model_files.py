"""Which of a directory's files a tokenizer's model is read from, and with which settings."""

import dataclasses
from collections.abc import Sequence

from etils import epath

from bert_jax.errors import UserError
from bert_jax.storage.paths import files_of
from bert_jax.text import bpe_files, tokenizer_json
from bert_jax.text.added_tokens import AddedToken
from bert_jax.text.byte_bpe import ByteBPE
from bert_jax.text.token_ids import TokenIds
from bert_jax.text.tokenizer_config import NAME as CONFIG_NAME
from bert_jax.text.tokenizer_config import TokenizerConfig, goes_by_tokenizer_json, read_tokenizer_config
from bert_jax.text.unigram import Unigram
from bert_jax.text.wordpiece import LONGEST_WORD, WordPiece

Model = WordPiece | ByteBPE | Unigram | TokenIds

_MODEL_OF_SUFFIX: dict[str, type[Model]] = {
    ".txt": WordPiece,
    ".model": Unigram,
    ".json": ByteBPE,
}


def candidates(directory: epath.Path) -> list[epath.Path]:
    """Files that may hold a model, the first that is there before the others."""
    # Hugging Face's directories often hold a tokenizer.json beside the file that it was converted from.
    names = ["tokenizer.json", bpe_files.VOCAB, TokenIds.file_name]
    return [directory / "vocab.txt", *files_of(directory, "*.model"), *(directory / name for name in names)]


def model_file(directory: epath.Path) -> epath.Path:
    """The one that is read; UserError if there is none."""
    for file in candidates(directory):
        if file.exists():
            return file
    raise UserError(
        f"{directory} holds no vocab.txt, tokenizer.json or *.model, nor vocab.json and merges.txt; "
        "give another vocabulary"
    )


def read_model(file: epath.Path, config: TokenizerConfig, added_tokens: Sequence[AddedToken] = ()) -> Model:
    """The model of a file, with the settings that it leaves open; UserError if it is none."""
    if file.name == bpe_files.VOCAB:
        content = bpe_files.as_tokenizer_json(file, added_tokens, bool(config.add_prefix_space))
        return ByteBPE(content, config.do_lower_case, str(file))
    if file.name == TokenIds.file_name:
        return TokenIds.read(file, config.do_lower_case)
    if file.suffix not in _MODEL_OF_SUFFIX:
        raise UserError(f"{file} is no vocabulary: its name must end in {', '.join(_MODEL_OF_SUFFIX)}")
    kind = _MODEL_OF_SUFFIX[file.suffix]
    if kind is ByteBPE and tokenizer_json.holds_wordpiece(file):
        return tokenizer_json.read_wordpiece(file, config)
    if kind is ByteBPE and config.add_prefix_space is not None:
        content = bpe_files.with_prefix_space(file.read_bytes(), config.add_prefix_space)
        return ByteBPE(content, config.do_lower_case, str(file))
    if kind is Unigram:
        return Unigram.read(file, config.do_lower_case, config.keep_accents, config.replaces_quotes)
    if kind is WordPiece:
        splits_ideographs = config.tokenize_chinese_chars is not False
        longest = config.max_input_chars_per_word or LONGEST_WORD
        settings = config.strip_accents, splits_ideographs, longest, config.drops_private_use
        return WordPiece.read(file, config.do_lower_case, *settings)
    return kind.read(file, config.do_lower_case)


def settings_of(directory: epath.Path, file: epath.Path, do_lower_case: bool | None) -> TokenizerConfig:
    """The settings of `file` in one of Hugging Face's directories; `do_lower_case`, if given, goes before theirs."""
    config = read_tokenizer_config(directory, do_lower_case)
    in_json = directory / ByteBPE.file_name
    is_wordpiece = file.name == WordPiece.file_name or (file == in_json and tokenizer_json.holds_wordpiece(file))
    if file.suffix == ".json" and not is_wordpiece:  # byte-level BPE, whose classes do not have the key
        config = dataclasses.replace(config, do_lower_case=do_lower_case)
    if is_wordpiece and in_json.exists() and goes_by_tokenizer_json(config):
        config = dataclasses.replace(
            config, do_lower_case=do_lower_case, strip_accents=None, tokenize_chinese_chars=None
        )
    return _with_what_is_beside(directory, config) if file.name == WordPiece.file_name else config


def _with_what_is_beside(directory: epath.Path, config: TokenizerConfig) -> TokenizerConfig:
    """The settings of a vocab.txt, some of which stand beside it."""
    beside = directory / ByteBPE.file_name
    if beside.exists():
        config = tokenizer_json.with_settings_of(beside, config)
    if not (directory / CONFIG_NAME).exists():
        return config
    longest = config.max_input_chars_per_word or tokenizer_json.TRANSFORMERS_LONGEST_WORD
    return dataclasses.replace(config, max_input_chars_per_word=longest, drops_private_use=True)
