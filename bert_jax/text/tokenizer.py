"""The one tokenizer interface: text to ids and back, whatever the vocabulary's kind.

The kinds themselves are in wordpiece.py, byte_bpe.py, unigram.py and token_ids.py. A vocabulary directory holds the
kind's own file (vocab.txt, tokenizer.json, tokenizer.model or ids.json) and vocabulary.json, which describes
it: what made it, and which tokens were added to it (added_tokens.py).
"""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from bert_jax.storage.json_file import write_json
from bert_jax.storage.paths import expanded
from bert_jax.storage.whole_file import whole_file
from bert_jax.text.added_tokens import AddedToken, AddedTokens
from bert_jax.text.byte_bpe import ByteBPE
from bert_jax.text.model_files import Model
from bert_jax.text.offsets import Encoding
from bert_jax.text.pair_template import PairTemplate
from bert_jax.text.token_ids import TokenIds
from bert_jax.text.unigram import Unigram
from bert_jax.text.wordpiece import LONGEST_WORD, WordPiece

DESCRIPTION = "vocabulary.json"
_WORD_BEFORE = "x"  # any; what comes before a space changes nothing of the word behind it


class Tokenizer:
    """Text to token ids and back. Cheap to load; load one in each worker process.

    Attributes:
        kind: "wordpiece", "bpe", "sentencepiece" or "ids".
        tokens: the token of each id, added ones last.
        added_tokens: found in a text before the rest of it is tokenized; byte-level BPE keeps its own in its file.
        first_added_id: ids from here on are those of added tokens alone.
        vocab_size: how many ids there are.
        pad_id, unk_id, cls_id, sep_id, mask_id: the special tokens.
        puts_space_first: whether a space is put before every text, to make its first word a word like others (BPE).
        separators_between: how many sep_id stand between the two texts of a pair; 1, and in RoBERTa's vocabularies 2.
        second_segment: the token type of the second text of a pair; 1, and with RoBERTa's own files 0.
        continues_word: per id, whether its token continues the word before it ("##..." in WordPiece).
        continues_ngram_word: the same by ALBERT's rule, which has more words in a SentencePiece model.
        lowercase: whether text is lower-cased.
        strip_accents, tokenize_chinese_chars: WordPiece's settings (wordpiece.py); False for the other kinds.
        max_input_chars_per_word: likewise, 0 for the other kinds.
        drops_private_use: likewise, False for the other kinds.
        keep_accents: whether SentencePiece's text, prepared as ALBERT's, keeps accents; None where it is not prepared.
        replaces_quotes: whether it is prepared as transformers' ALBERT, which makes `` and '' usual quotes.
        fingerprint: 16 hex digits; equal exactly when the same text always gives the same ids, but for words that
            max_input_chars_per_word makes unknown, characters of private use, and TeX's quotes.
        made_by: the options and input of the build_vocab that made it; empty for a foreign vocabulary.
    """

    def __init__(
        self,
        model: Model,
        made_by: Mapping[str, Any] | None = None,
        added_tokens: Sequence[AddedToken] = (),
        pairs: PairTemplate | None = None,
    ) -> None:
        """Wrap one kind's model, to which tokens may have been added, as check_added gives them.

        `pairs` None: as the model's file has it.
        """
        self._model = model
        self._added: AddedTokens | None = None
        if added_tokens and isinstance(model, WordPiece | Unigram):
            self._added = AddedTokens(added_tokens, model.normalize)
        self.first_added_id: int = len(model.tokens)
        new = [token.content for token in added_tokens if token.id >= self.first_added_id]
        self.kind: str = model.kind
        self.added_tokens: list[AddedToken] = list(added_tokens)
        self.tokens: list[str] = [*model.tokens, *new]
        self.vocab_size: int = len(self.tokens)
        self.pad_id: int = model.special_ids.pad
        self.unk_id: int = model.special_ids.unk
        self.cls_id: int = model.special_ids.cls
        self.sep_id: int = model.special_ids.sep
        self.mask_id: int = model.special_ids.mask
        self.puts_space_first: bool = isinstance(model, ByteBPE) and model.puts_space_first
        of_file = model.pair_template if isinstance(model, ByteBPE) else PairTemplate()
        self.pairs: PairTemplate = pairs or of_file
        self.separators_between: int = self.pairs.separators_between
        self.second_segment: int = self.pairs.second_segment
        self.continues_word: list[bool] = [*model.continues_word, *(False for _ in new)]
        continues = model.continues_ngram_word if isinstance(model, Unigram) else model.continues_word
        self.continues_ngram_word: list[bool] = [*continues, *(False for _ in new)]
        self.lowercase: bool = model.lowercase
        self.strip_accents: bool = isinstance(model, WordPiece) and model.strip_accents
        self.tokenize_chinese_chars: bool = isinstance(model, WordPiece) and model.tokenize_chinese_chars
        self.max_input_chars_per_word: int = model.max_input_chars_per_word if isinstance(model, WordPiece) else 0
        self.drops_private_use: bool = isinstance(model, WordPiece) and model.drops_private_use
        self.keep_accents: bool | None = model.keep_accents if isinstance(model, Unigram) else None
        self.replaces_quotes: bool = isinstance(model, Unigram) and model.replaces_quotes
        self.fingerprint: str = _fingerprint(model, self.tokens, added_tokens)
        self.made_by: dict[str, Any] = dict(made_by or {})

    def with_added(self, tokens: Sequence[AddedToken]) -> "Tokenizer":
        """The same with `tokens` more, whose ids are the next."""
        if isinstance(self._model, ByteBPE):
            return Tokenizer(self._model.with_added(tokens), self.made_by, pairs=self.pairs)
        return Tokenizer(self._model, self.made_by, [*self.added_tokens, *tokens], self.pairs)

    def encode(self, text: str) -> list[int]:
        """The ids of `text`. No special tokens are added, and their spelling in `text` is ordinary text."""
        return self._added.encode(text, self._model.encode) if self._added else self._model.encode(text)

    def encode_with_offsets(self, text: str) -> Encoding:
        """The ids of `text` as `encode` gives them, and where in `text`, as it is given, each of their tokens is."""
        if self._added and isinstance(self._model, WordPiece | Unigram):
            return self._added.encode_with_offsets(text, self._model.encode_with_offsets, self._model.align)
        return self._model.encode_with_offsets(text)

    def encode_word(self, word: str) -> list[int]:
        """The ids that `word` has within a text, behind a space; none if it is empty.

        They are those of encode(word) but where tokens carry the space before a word (byte-level BPE, SentencePiece).
        """
        if not word or isinstance(self._model, WordPiece | TokenIds):
            return self.encode(word)
        return self.encode(f"{_WORD_BEFORE} {word}")[len(self.encode(_WORD_BEFORE)) :]

    def check(self, text: str) -> None:
        """Raise UserError, without the place of `text`, if it cannot be encoded; only a line of ids may be wrong."""
        if isinstance(self._model, TokenIds):
            self._model.check(text)

    def decode(self, ids: Sequence[int]) -> str:
        """Readable text of `ids`; not always the very text that was encoded."""
        runs = itertools.groupby(ids, lambda token_id: token_id >= self.first_added_id)
        texts = [
            " ".join(self.tokens[token_id] for token_id in run) if added else self._model.decode(list(run))
            for added, run in runs
        ]
        return " ".join(texts)

    def save(self, directory: epath.PathLike) -> None:
        """Write the tokenizer's files into `directory`, vocabulary.json last, for load_tokenizer to read."""
        directory = epath.Path(expanded(directory))
        description = {
            "kind": self.kind,
            "vocab_size": self.vocab_size,
            "fingerprint": self.fingerprint,
            "lowercase": self.lowercase,
            "made_by": self.made_by,
        }
        if isinstance(self._model, WordPiece | Unigram):
            description |= self._model.unusual_settings()
        if self.max_input_chars_per_word not in (0, LONGEST_WORD):
            description["max_input_chars_per_word"] = self.max_input_chars_per_word
        description |= {name: True for name in ("drops_private_use", "replaces_quotes") if getattr(self, name)}
        usual = PairTemplate()._asdict()
        description |= {name: value for name, value in self.pairs._asdict().items() if value != usual[name]}
        if self.added_tokens:
            description["added_tokens"] = [dataclasses.asdict(token) for token in self.added_tokens]
        for name, content in self._model.files().items():
            with whole_file(directory / name) as file:
                file.write(content)
        write_json(directory / DESCRIPTION, description, sort_keys=True)


def _fingerprint(model: Model, tokens: Sequence[str], added_tokens: Sequence[AddedToken]) -> str:
    deciding = {"kind": model.kind, "tokens": tokens, **model.identity()}
    if added_tokens:
        deciding["added_tokens"] = [token.identity() for token in added_tokens]
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode("ascii")).hexdigest()[:16]
