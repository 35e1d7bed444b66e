"""From text to a vocabulary directory: trained once, put where it belongs. Using one: load_tokenizer.py."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from absl import logging
from etils import epath

from bert_jax.errors import UserError
from bert_jax.storage.lock import only_maker
from bert_jax.storage.new_directory import first_directory
from bert_jax.text.byte_bpe import ByteBPE
from bert_jax.text.corpus import Corpus
from bert_jax.text.findings import LOST_LETTERS, Finding, InputReport, warn
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.text.lost_letters import loses_letters
from bert_jax.text.progress import watched
from bert_jax.text.special_tokens import SPECIAL_TOKENS
from bert_jax.text.tokenizer import DESCRIPTION, Tokenizer
from bert_jax.text.trainers import check_size, train_bpe, train_sentencepiece, train_unigram, train_wordpiece
from bert_jax.text.unigram import Unigram
from bert_jax.text.wordpiece import WordPiece

_TRAINERS: dict[str, Callable[..., WordPiece | ByteBPE | Unigram]] = {
    "wordpiece": train_wordpiece,
    "bpe": train_bpe,
    "sentencepiece": train_sentencepiece,
    "unigram": train_unigram,
}
KINDS = tuple(_TRAINERS)
KINDS_HELP = (
    "wordpiece (BERT), bpe (byte-level, RoBERTa), sentencepiece (a unigram model on raw text), unigram (the same with "
    "ALBERT's text preparation and special tokens)."
)


def ignores_case(kind: str) -> bool:
    """Whether a vocabulary of this kind is uncased if nobody says: RoBERTa's and GPT-2's are not."""
    return kind != "bpe"


def build_vocabulary(
    corpus: Corpus,
    output: epath.PathLike,
    kind: str,
    vocab_size: int,
    lowercase: bool,
    strip_accents: bool | None = None,
    tokenize_chinese_chars: bool = True,
) -> Tokenizer:
    """Train a vocabulary of exactly `vocab_size` tokens and write it to the directory `output`.

    If `output` already holds the vocabulary of these very options and this corpus it is returned as it is. The last two
    options are WordPiece's: whether accents are dropped (None: if case is ignored), and ideographs words of their own.
    The first of them is unigram's, too (None: yes).

    Raises:
        UserError: `output` holds anything else or is being written by another process, or the text does not give
            `vocab_size` tokens.
    """
    output = epath.Path(output)
    settings = _settings(kind, lowercase, strip_accents, tokenize_chinese_chars)
    made_by = {
        "kind": kind,
        "vocab_size": vocab_size,
        "lowercase": lowercase,
        "input": corpus.identity(),
        **settings,
    }
    if _is_taken(output):
        return _existing(output, made_by)
    with only_maker(output):
        if _is_taken(output):  # by a process that had the lock until now
            return _existing(output, made_by)
        tokenizer = Tokenizer(_trained(corpus, kind, vocab_size, lowercase, settings), made_by)
        check_size(tokenizer.vocab_size, vocab_size)
        with first_directory(output) as directory:
            tokenizer.save(directory)
    return tokenizer


def describe(tokenizer: Tokenizer, corpus: Corpus) -> str:
    """One line on a vocabulary: case, size, some of its tokens, and its tokens per word in the first documents."""
    first = islice(corpus.documents(), 100)
    sample = [sentence for document in first for sentence in document.sentences]
    ids = [token_id for line in sample for token_id in tokenizer.encode(line)]
    words = sum(len(line.split()) for line in sample)
    unknown = ids.count(tokenizer.unk_id) / max(1, len(ids))
    examples = tokenizer.tokens[len(SPECIAL_TOKENS) :: max(1, tokenizer.vocab_size // 8)][-6:]
    case = "uncased" if tokenizer.lowercase else "cased"
    return (
        f"{case}, {tokenizer.vocab_size} tokens such as {' '.join(examples)}; "
        f"{len(ids) / max(1, words):.2f} tokens per white-space separated word "
        f"and {unknown:.2%} unknown tokens in the first {len(sample)} lines"
    )


def _is_taken(output: epath.Path) -> bool:
    return output.is_file() or (output.exists() and any(output.iterdir()))


def _settings(kind: str, lowercase: bool, strip_accents: bool | None, tokenize_chinese_chars: bool) -> dict[str, bool]:
    """The settings that are not the original's."""
    if kind == "wordpiece":
        return WordPiece(SPECIAL_TOKENS, lowercase, strip_accents, tokenize_chinese_chars).unusual_settings()
    if kind == "unigram":
        if not tokenize_chinese_chars:
            raise UserError("--tokenize_chinese_chars is WordPiece's; leave it out with --kind=unigram")
        return {"keep_accents": True} if strip_accents is False else {}
    if strip_accents is not None or not tokenize_chinese_chars:
        raise UserError(
            f"--strip_accents and --tokenize_chinese_chars are WordPiece's, and --kind={kind} neither drops accents "
            "nor parts ideographs; leave them out"
        )
    return {}


def _trained(
    corpus: Corpus, kind: str, vocab_size: int, lowercase: bool, settings: dict[str, bool]
) -> WordPiece | ByteBPE | Unigram:
    strips_accents = kind == "wordpiece" and settings.get("strip_accents", lowercase)
    strips_accents |= kind == "unigram" and not settings.get("keep_accents", False)
    return _TRAINERS[kind](_lines(corpus, strips_accents), vocab_size, lowercase, **settings)


def _lines(corpus: Corpus, strips_accents: bool) -> Iterator[str]:
    """All lines; at their end a warning if letters are dropped with the accents."""
    lost, number = Finding(), 0
    for number, document in enumerate(watched(corpus.documents(), corpus, "reading"), start=1):
        if strips_accents and loses_letters("\n".join(document.sentences).encode()):
            losing = (number for number, line in enumerate(document.sentences) if loses_letters(line.encode()))
            lost.add(document.place(next(losing)))
        yield from document.sentences
    if lost.count:
        warn(InputReport(documents_read=number, dropped={}, suspicious={LOST_LETTERS: lost}))


def _existing(output: epath.Path, made_by: dict[str, Any]) -> Tokenizer:
    if not (output / DESCRIPTION).exists():  # written last, so all is there if it is
        raise UserError(f"--output {output} exists and is no vocabulary; choose another or delete it")
    tokenizer = load_tokenizer(output)
    if tokenizer.made_by == made_by:
        logging.info("%s already holds this vocabulary, made with the same options and input", output)
        return tokenizer
    different = [key for key in {**made_by, **tokenizer.made_by} if tokenizer.made_by.get(key) != made_by.get(key)]
    use = ""
    if different == ["lowercase"]:
        use = f"give --{'' if made_by['lowercase'] is False else 'no'}lowercase to use it, "
    raise UserError(
        f"--output {output} holds a vocabulary made with other {' and '.join(different)}; "
        f"{use}choose another --output or delete it"
    )
