"""Training a vocabulary of each kind, and putting it where it belongs. Using one is tokenizer.py.

The same text and options give the same bytes, in any process and with any number of threads.
"""

import io
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, chain, islice
from typing import Any

import sentencepiece
import tokenizers
from absl import logging
from etils import epath
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from bert_jax.errors import UserError
from bert_jax.storage.cloud import is_remote
from bert_jax.storage.lock import only_maker
from bert_jax.storage.new_directory import first_directory
from bert_jax.text.byte_bpe import ByteBPE
from bert_jax.text.corpus import Corpus
from bert_jax.text.progress import watched
from bert_jax.text.special_tokens import SPECIAL_TOKENS
from bert_jax.text.tokenizer import DESCRIPTION, Tokenizer, load_tokenizer
from bert_jax.text.unigram import Unigram
from bert_jax.text.wordpiece import WordPiece

_FEWEST_OCCURRENCES = 2  # of two neighbouring pieces, to make one piece of them
_CHARACTER_COVERAGE = 0.99995  # of a text's characters is in the vocabulary, the commonest first (as in ALBERT's)
_MOST_CHARACTERS = 1000  # different ones in a WordPiece vocabulary; any other makes its word unknown
_LONGEST_LINE = 100_000  # bytes; sentencepiece leaves out longer lines
_MOST_LINES = 10_000_000  # that sentencepiece holds in memory; a larger text is sampled


def build_vocabulary(corpus: Corpus, output: epath.PathLike, kind: str, vocab_size: int, lowercase: bool) -> Tokenizer:
    """Train a vocabulary of exactly `vocab_size` tokens and write it to the directory `output`.

    If `output` already holds the vocabulary of these very options and this corpus it is returned as it is.

    Raises:
        UserError: `output` holds anything else or is being written by another process, or the text does not give
            `vocab_size` tokens.
    """
    output = epath.Path(output)
    made_by = {
        "kind": kind,
        "vocab_size": vocab_size,
        "lowercase": lowercase,
        "input": corpus.identity(),
    }
    if _is_taken(output):
        return _existing(output, made_by)
    with only_maker(output):
        if _is_taken(output):  # by a process that had it until now
            return _existing(output, made_by)
        lines = chain.from_iterable(document.sentences for document in watched(corpus.documents(), corpus, "reading"))
        tokenizer = Tokenizer(_TRAINERS[kind](lines, vocab_size, lowercase), made_by)
        _check_size(tokenizer.vocab_size, vocab_size)
        if is_remote(output):  # where each file appears whole, and vocabulary.json, the last of them, completes it
            tokenizer.save(output)
        else:
            with first_directory(output) as aside:
                tokenizer.save(aside)
    return tokenizer


def describe(tokenizer: Tokenizer, corpus: Corpus) -> str:
    """One line on a vocabulary: its size, some of its tokens, and how finely it cuts the first documents."""
    first = islice(corpus.documents(), 100)
    sample = [sentence for document in first for sentence in document.sentences]
    pieces = [token_id for line in sample for token_id in tokenizer.encode(line)]
    words = sum(len(line.split()) for line in sample)
    unknown = pieces.count(tokenizer.unk_id) / max(1, len(pieces))
    examples = tokenizer.tokens[len(SPECIAL_TOKENS) :: max(1, tokenizer.vocab_size // 8)][-6:]
    return (
        f"{tokenizer.vocab_size} tokens such as {' '.join(examples)}; {len(pieces) / max(1, words):.2f} tokens per "
        f"white-space separated word and {unknown:.2%} unknown tokens in the first {len(sample)} lines"
    )


def _is_taken(output: epath.Path) -> bool:
    return output.is_file() or (output.exists() and any(output.iterdir()))


def _existing(output: epath.Path, made_by: dict[str, Any]) -> Tokenizer:
    if not (output / DESCRIPTION).exists():  # written last, so all is there if it is
        raise UserError(f"--output {output} exists and is no vocabulary; choose another or delete it")
    tokenizer = load_tokenizer(output)
    if tokenizer.made_by == made_by:
        logging.info("%s already holds this vocabulary, made with the same options and input", output)
        return tokenizer
    different = [key for key in made_by if tokenizer.made_by.get(key) != made_by[key]]
    raise UserError(
        f"--output {output} holds a vocabulary made with other {' and '.join(different)}; "
        "choose another --output or delete it"
    )


def _check_size(size: int, wanted: int) -> None:
    if size < wanted:
        raise UserError(
            f"--vocab_size={wanted} is too many: the text gives {size} tokens at most; ask for {size} or less"
        )
    if size > wanted:
        raise UserError(
            f"--vocab_size={wanted} is too few: the text's characters alone need {size}; ask for {size} or more"
        )


def train_wordpiece(lines: Iterable[str], vocab_size: int, lowercase: bool) -> WordPiece:
    """Train WordPiece on words cut as the original cuts them: the special tokens, characters, then longer pieces."""
    cut = WordPiece(SPECIAL_TOKENS, lowercase)
    counts: Counter[str] = Counter()
    for line in lines:
        counts.update(cut.words(line))
    words = sorted(counts)
    first = [*SPECIAL_TOKENS, *_characters(words, counts)]
    # The library numbers characters in the order of a hash map and breaks ties by these numbers, so two runs would
    # differ. Given to it as "special tokens", they have their numbers beforehand.
    library = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    library.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=_FEWEST_OCCURRENCES,
        special_tokens=first,
        limit_alphabet=0,
        show_progress=_watched_by_a_person(),
    )
    library.train_from_iterator(_repeated(words, counts), trainer)
    vocabulary = library.get_vocab()
    return WordPiece(sorted(vocabulary, key=vocabulary.__getitem__), lowercase)


def _characters(words: list[str], counts: Counter[str]) -> list[str]:
    """The commonest characters as a word's first piece, then as later ones, each in code point order."""
    characters: Counter[str] = Counter()
    for word in words:
        for character in word:
            characters[character] += counts[word]
    by_count = sorted(sorted(characters), key=characters.__getitem__, reverse=True)
    covered = accumulate(characters[character] for character in by_count)
    enough = _CHARACTER_COVERAGE * characters.total()
    needed = 1 + sum(count < enough for count in covered)
    common = by_count[: min(needed, _MOST_CHARACTERS)]
    later = {character for word in words for character in word[1:]}
    return sorted(common) + [f"##{character}" for character in sorted(later.intersection(common))]


def _repeated(words: list[str], counts: Counter[str]) -> Iterator[str]:
    """Each word as often as it was counted, because the library takes texts and not counts."""
    for word in words:
        for start in range(0, counts[word], 1000):
            yield f"{word} " * min(1000, counts[word] - start)


def train_bpe(lines: Iterable[str], vocab_size: int, lowercase: bool) -> ByteBPE:
    """Train byte-level BPE, in which a word's first piece carries the space before it: no text is unknown."""
    library = tokenizers.Tokenizer(models.BPE(unk_token="[UNK]"))
    # A space before the line makes its first word a word like any other. It is put there by the normalizer because
    # transformers overrules the pre-tokenizer's own switch for it.
    folding = [normalizers.Lowercase()] if lowercase else []
    library.normalizer = normalizers.Sequence([*folding, normalizers.Prepend(" ")])
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=_FEWEST_OCCURRENCES,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=_watched_by_a_person(),
    )
    library.train_from_iterator(lines, trainer)
    return ByteBPE(library.to_str(pretty=True).encode("utf-8"), do_lower_case=None)


def train_sentencepiece(lines: Iterable[str], vocab_size: int, lowercase: bool) -> Unigram:
    """Train a unigram model as ALBERT's was, with the five special tokens at ids 0 to 4."""
    sentencepiece.set_random_generator_seed(0)
    model = io.BytesIO()
    pad, unk, *control = SPECIAL_TOKENS
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=model,
            model_type="unigram",
            vocab_size=vocab_size,
            normalization_rule_name="nmt_nfkc_cf" if lowercase else "nmt_nfkc",
            character_coverage=_CHARACTER_COVERAGE,
            pad_id=0,
            unk_id=1,
            bos_id=-1,
            eos_id=-1,
            pad_piece=pad,
            unk_piece=unk,
            control_symbols=control,
            max_sentence_length=_LONGEST_LINE,
            input_sentence_size=_MOST_LINES,
            num_threads=8,  # part of the result: sums of floats depend on how they are shared out
            minloglevel=0 if _watched_by_a_person() else 1,
        )
    except RuntimeError as error:
        _explain_size(str(error), vocab_size)
        raise
    return Unigram(model.getvalue(), do_lower_case=None)


def _explain_size(message: str, vocab_size: int) -> None:
    too_high = re.search(r"Vocabulary size too high .* <= (\d+)", message)
    too_low = re.search(r"smaller than required_chars\. \d+ vs (\d+)", message)
    for found in filter(None, (too_high, too_low)):
        _check_size(int(found[1]), vocab_size)


_TRAINERS: dict[str, Callable[[Iterable[str], int, bool], WordPiece | ByteBPE | Unigram]] = {
    "wordpiece": train_wordpiece,
    "bpe": train_bpe,
    "sentencepiece": train_sentencepiece,
}
KINDS = tuple(_TRAINERS)


def _watched_by_a_person() -> bool:
    return sys.stderr.isatty()
