"""Training a vocabulary of each kind on lines of text; vocabulary.py writes it.

The same text and options give the same bytes, in any process and with any number of threads.
"""

import io
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

import sentencepiece
import tokenizers
from absl import logging
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from bert_jax.errors import UserError
from bert_jax.text.byte_bpe import ByteBPE
from bert_jax.text.long_words import LongWords, split_at_white_space
from bert_jax.text.sentencepiece_text import TextPreparation
from bert_jax.text.special_tokens import ALBERTS_SIGNS, ALBERTS_SPECIAL, SPECIAL_TOKENS
from bert_jax.text.unigram import Unigram
from bert_jax.text.wordpiece import LONGEST_WORD, WordPiece

_FEWEST_OCCURRENCES = 2  # of two neighbouring pieces, to make one piece of them
_CHARACTER_COVERAGE = 0.99995  # of a text's characters is in the vocabulary, the commonest first (as in ALBERT's)
_ALPHABET = 1000  # characters, the commonest, that a WordPiece vocabulary must have room for; any other only may
_LONGEST_LINE = 100_000  # bytes; sentencepiece leaves out longer lines, so they are split
_RESERVED = "\u2585"  # a character with which sentencepiece marks unknown ones; it leaves out lines that have it
_MOST_LINES = 10_000_000  # that sentencepiece holds in memory; a larger text is sampled


def check_size(size: int, wanted: int) -> None:
    """Raise UserError unless `size`, of the tokens that the text gives, is the number that was asked for."""
    if size < wanted:
        raise UserError(
            f"--vocab_size={wanted} is too many: the text gives {size} tokens at most; ask for {size} or less"
        )
    if size > wanted:
        raise UserError(
            f"--vocab_size={wanted} is too few: the text's characters alone need {size}; ask for {size} or more"
        )


def train_wordpiece(
    lines: Iterable[str],
    vocab_size: int,
    lowercase: bool,
    strip_accents: bool | None = None,
    tokenize_chinese_chars: bool = True,
) -> WordPiece:
    """Train WordPiece on words as the original splits them: the special tokens, characters, then longer pieces."""
    counts = _count_words(lines, WordPiece(SPECIAL_TOKENS, lowercase, strip_accents, tokenize_chinese_chars))
    words = sorted(counts)
    first = [*SPECIAL_TOKENS, *_characters(words, counts, vocab_size)]
    if 2 * len(first) > vocab_size >= len(first):
        logging.info(
            "single characters take %d of the %d tokens; a larger --vocab_size has more words",
            *(len(first), vocab_size),
        )
    # The library numbers characters in the order of a hash map and breaks ties by these numbers, so two runs would
    # differ. Given to it as "special tokens", they have their numbers beforehand.
    library = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    library.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=_FEWEST_OCCURRENCES,
        special_tokens=first,
        limit_alphabet=0,
        show_progress=_on_a_terminal(),
    )
    library.train_from_iterator(_repeated(words, counts), trainer)
    vocabulary = library.get_vocab()
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    return WordPiece(tokens, lowercase, strip_accents, tokenize_chinese_chars)


def _count_words(lines: Iterable[str], splitter: WordPiece) -> Counter[str]:
    long = LongWords(LONGEST_WORD)
    counts: Counter[str] = Counter()
    for line in lines:
        counts.update(long.without_long(splitter.words(line)))
    long.warn("left out: in WordPiece each is unknown")
    return counts


def _characters(words: list[str], counts: Counter[str], vocab_size: int) -> list[str]:
    """The commonest characters as a word's first piece, then as later ones, each in code point order.

    As many as cover the text, or as `vocab_size` has room for; but not fewer than an alphabet.
    """
    characters: Counter[str] = Counter()
    for word in words:
        for character in word:
            characters[character] += counts[word]
    by_count = sorted(sorted(characters), key=characters.__getitem__, reverse=True)
    covered = accumulate(characters[character] for character in by_count)
    enough = _CHARACTER_COVERAGE * characters.total()
    wanted = by_count[: 1 + sum(count < enough for count in covered)]
    later = {character for word in words for character in word[1:]}
    sizes = accumulate((1 + (character in later) for character in wanted), initial=len(SPECIAL_TOKENS))
    size_of = list(sizes)  # of a vocabulary of the first so many characters
    fitting = sum(size <= vocab_size for size in size_of) - 1
    common = wanted[: max(fitting, _ALPHABET)]
    if left_out := by_count[len(common) :]:
        fraction = sum(characters[character] for character in left_out) / characters.total()
        _log_left_out(len(left_out), fraction, size_of[-1] if len(common) < len(wanted) else None)
    return sorted(common) + [f"##{character}" for character in sorted(later.intersection(common))]


def _log_left_out(number: int, fraction: float, enough: int | None) -> None:
    """Log how many characters no token has, and which --vocab_size would do, if one would."""
    logging.log(
        logging.WARNING if enough else logging.INFO,
        "%d characters, %.2g%% of the text, get no token (%s); a word with one of them is unknown",
        *(number, 100 * fraction, f"--vocab_size={enough} has room for them" if enough else "they are too rare"),
    )


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
        show_progress=_on_a_terminal(),
    )
    long = LongWords()
    library.train_from_iterator(long.split(lines), trainer)
    long.warn("cut into pieces of that length for training")
    return ByteBPE(library.to_str(pretty=True).encode("utf-8"), do_lower_case=None)


def train_sentencepiece(lines: Iterable[str], vocab_size: int, lowercase: bool) -> Unigram:
    """Train a unigram model with the special tokens of WordPiece, whose own normalization folds case."""
    rule = "nmt_nfkc_cf" if lowercase else "nmt_nfkc"
    return Unigram(_trained_model(lines, vocab_size, rule, SPECIAL_TOKENS), do_lower_case=None)


def train_unigram(lines: Iterable[str], vocab_size: int, lowercase: bool, keep_accents: bool = False) -> Unigram:
    """Train a unigram model as ALBERT's was, of text that was prepared as ALBERT's."""
    preparation = TextPreparation(lowercase, keep_accents)
    text = map(preparation.prepared, lines)
    content = _trained_model(text, vocab_size, "nmt_nfkc", ALBERTS_SPECIAL, ALBERTS_SIGNS)
    return Unigram(content, do_lower_case=lowercase, keep_accents=keep_accents)


def _trained_model(
    lines: Iterable[str], vocab_size: int, rule: str, special: Sequence[str], defined: Sequence[str] = ()
) -> bytes:
    """A .model file with the special tokens at ids 0 to 4, and behind them pieces that are never part of others."""
    sentencepiece.set_random_generator_seed(0)
    model = io.BytesIO()
    long = LongWords()
    text = _Remembering(long.split(line.replace(_RESERVED, " ") for line in lines))
    pad, unk, *control = special
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=split_at_white_space(text, _LONGEST_LINE),
            model_writer=model,
            model_type="unigram",
            vocab_size=vocab_size,
            normalization_rule_name=rule,
            character_coverage=_CHARACTER_COVERAGE,
            pad_id=0,
            unk_id=1,
            bos_id=-1,
            eos_id=-1,
            pad_piece=pad,
            unk_piece=unk,
            control_symbols=control,
            user_defined_symbols=list(defined),
            max_sentence_length=_LONGEST_LINE,
            input_sentence_size=_MOST_LINES,
            num_threads=8,  # part of the result: sums of floats depend on how they are divided among threads
            minloglevel=0 if _on_a_terminal() else 1,
        )
    except RuntimeError as error:
        if text.error is not None:
            raise text.error from None
        raise _explained(str(error), vocab_size) from None
    long.warn("cut into pieces of that length for training")
    return model.getvalue()


class _Remembering:
    """Lines, and the error that ended them: sentencepiece makes a RuntimeError of any."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = lines
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[str]:
        try:
            yield from self._lines
        except BaseException as error:
            self.error = error
            raise


def _explained(message: str, vocab_size: int) -> UserError:
    """A complaint of sentencepiece as a line for the user."""
    too_high = re.search(r"Vocabulary size too high .* <= (\d+)", message)
    too_low = re.search(r"smaller than required_chars\. \d+ vs (\d+)", message)
    for found in filter(None, (too_high, too_low)):
        check_size(int(found[1]), vocab_size)
    if "all_chars_count" in message or "sentences_.empty" in message:
        return UserError("sentencepiece finds nothing in the text but white space and controls; give other --input")
    return UserError(f"sentencepiece cannot train on this text ({' '.join(message.split())}); try another --kind")


def _on_a_terminal() -> bool:
    return sys.stderr.isatty()
