"""A tokenizer's files as transformers' AutoTokenizer reads them, giving our ids on ordinary text.

Where it must differ, the text being ordinary for us and not for transformers:
  - the spelling of a special token in a text ("[MASK]") is that token there; `split_special_tokens=True` turns it off;
  - its WordPiece drops private-use characters, which the original's keeps (so does ours, when it is read from an
    export), and follows the Unicode tables of its own release;
  - its BertTokenizer in Python (before release 5) composes characters (NFC) where accents stay;
  - of two equally likely segmentations ("-----" in pieces of 1 and 2) it may take the other one than SentencePiece;
  - of ALBERT's pieces like "9,", split again, it may take others for the number;
  - of SentencePiece models only unigram ones have a tokenizer.json; others are exported as their .model file alone;
  - transformers 5's BertTokenizer, where a program asks for it by that name, takes no more of a tokenizer.json than the
    vocabulary: words over 100 characters are unknown there, and Σ is always σ. AutoTokenizer takes all of it.
"""

import sys
import unicodedata
from collections.abc import Callable
from typing import Any

import tokenizers
from absl import logging
from etils import epath
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors

from bert_jax.interchange.sentencepiece_model import UNIGRAM, USER_DEFINED, read_model
from bert_jax.storage.json_file import write_json
from bert_jax.text.tokenizer import DESCRIPTION, Tokenizer

# Characters as Unicode's rule for the final sigma sees them. BertNormalizer drops control characters, but later.
_CASED = r"[\p{Cased}&&\P{Case_Ignorable}]"
_IGNORED = r"\p{Case_Ignorable}"
_IGNORED_OR_DROPPED = r"[[\p{Case_Ignorable}\p{Cc}\p{Co}\x{FFFD}]&&[^\t\n\r]]"


def write_tokenizer(tokenizer: Tokenizer, directory: epath.Path, max_length: int, has_token_types: bool = True) -> None:
    """Write the tokenizer's own file, tokenizer.json and tokenizer_config.json into `directory`.

    `has_token_types`: whether the model takes any; one without them may end with an error if it is given some.
    """
    tokenizer.save(directory)
    if tokenizer.kind == "ids":
        logging.warning("this model reads bare ids, so there is no tokenizer to export; ids.json has the special ones")
        return
    (directory / DESCRIPTION).unlink()  # it vouches for the files as they were before tokenizer.json is rewritten
    write = {"wordpiece": _write_wordpiece, "bpe": _write_bpe, "sentencepiece": _write_unigram}[tokenizer.kind]
    write(tokenizer, directory, _template(tokenizer, has_token_types))
    settings = _settings(tokenizer, max_length, has_token_types)
    write_json(directory / "tokenizer_config.json", settings, sort_keys=True)


def _settings(tokenizer: Tokenizer, max_length: int, has_token_types: bool) -> dict[str, Any]:
    types = ["token_type_ids"] if has_token_types else []  # release 5 gives no segments unasked
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",  # that takes all of tokenizer.json, in all releases
        "model_input_names": ["input_ids", *types, "attention_mask"],
        "do_lower_case": tokenizer.lowercase,
        "model_max_length": max_length,
        **{f"{name}_token": token for name, token in _special_tokens(tokenizer).items()},
    }
    if tokenizer.keep_accents is not None:
        settings["keep_accents"] = tokenizer.keep_accents
    if tokenizer.replaces_quotes:
        settings["replaces_quotes"] = True  # for us: in transformers, tokenizer.json does it
    if tokenizer.kind == "wordpiece":
        settings |= {
            "strip_accents": _strip_accents(tokenizer),
            "tokenize_chinese_chars": tokenizer.tokenize_chinese_chars,
        }
    return settings


def _strip_accents(tokenizer: Tokenizer) -> bool | None:
    """None where accents go exactly when case does, as in the original and in everybody's files."""
    return None if tokenizer.strip_accents == tokenizer.lowercase else tokenizer.strip_accents


def _special_tokens(tokenizer: Tokenizer) -> dict[str, str]:
    return {name: tokenizer.tokens[getattr(tokenizer, f"{name}_id")] for name in ("pad", "unk", "cls", "sep", "mask")}


def _write_wordpiece(tokenizer: Tokenizer, directory: epath.Path, template: processors.TemplateProcessing) -> None:
    special = _special_tokens(tokenizer)
    library = tokenizers.Tokenizer(
        models.WordPiece(
            _vocab(tokenizer),
            unk_token=special["unk"],
            max_input_chars_per_word=tokenizer.max_input_chars_per_word,
        )
    )
    cleaning = normalizers.BertNormalizer(
        lowercase=tokenizer.lowercase,
        strip_accents=_strip_accents(tokenizer),
        handle_chinese_chars=tokenizer.tokenize_chinese_chars,
    )
    sigma = _final_sigma(passed_over=_IGNORED_OR_DROPPED)
    library.normalizer = normalizers.Sequence([sigma, cleaning]) if tokenizer.lowercase else cleaning
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    library.decoder = decoders.WordPiece()
    _finish(library, tokenizer, directory, template)


def _vocab(tokenizer: Tokenizer) -> dict[str, int]:
    """The id of each token but the added ones; of equal ones the last is found, and the others are called otherwise.

    The library numbers added tokens by how many others there are, so none may be left out.
    """
    own = tokenizer.tokens[: tokenizer.first_added_id]
    last = {token: token_id for token_id, token in enumerate(own)}
    return {token if last[token] == token_id else f"[row {token_id}]": token_id for token_id, token in enumerate(own)}


def _write_bpe(tokenizer: Tokenizer, directory: epath.Path, template: processors.TemplateProcessing) -> None:
    file = directory / "tokenizer.json"
    library = tokenizers.Tokenizer.from_str(file.read_text())
    library.no_truncation()
    library.no_padding()
    steps = [library.normalizer] if library.normalizer else []
    if tokenizer.lowercase and _keeps_case(steps):
        library.normalizer = normalizers.Sequence([_final_sigma(_IGNORED), normalizers.Lowercase(), *steps])
    _finish(library, tokenizer, directory, template)


def _write_unigram(tokenizer: Tokenizer, directory: epath.Path, template: processors.TemplateProcessing) -> None:
    model = read_model((directory / "tokenizer.model").read_bytes())
    if model.trainer_spec.model_type != UNIGRAM:
        logging.warning("transformers gets no tokenizer.json: the SentencePiece model is not a unigram model")
        return
    is_alberts = tokenizer.keep_accents is not None
    pieces = [(piece.piece, _score(piece) if is_alberts else piece.score) for piece in model.pieces]
    unigram = models.Unigram(pieces, tokenizer.unk_id, byte_fallback=model.trainer_spec.byte_fallback)
    library = tokenizers.Tokenizer(unigram)
    steps = _unigram_normalizers(model.normalizer_spec, tokenizer.lowercase)
    library.normalizer = normalizers.Sequence(_alberts_normalizers(tokenizer) + steps)
    prepend = "always" if model.normalizer_spec.add_dummy_prefix else "never"
    library.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prepend)
    library.decoder = decoders.Metaspace(prepend_scheme=prepend)
    # One character is found by the model itself; behind an added token the library would put a space.
    defined = [piece.piece for piece in model.pieces if piece.type == USER_DEFINED and len(piece.piece) > 1]
    library.add_tokens([AddedToken(piece, normalized=False) for piece in defined])
    _finish(library, tokenizer, directory, template, strip=model.normalizer_spec.remove_extra_whitespaces)


def _score(piece: Any) -> float:
    """Lower for pieces like "9,", which ALBERT splits again: the library then splits them, if not always alike."""
    is_number_with_comma = len(piece.piece) > 1 and piece.piece[-1] == "," and piece.piece[-2].isdigit()
    return piece.score - 100 if is_number_with_comma else piece.score


def _alberts_normalizers(tokenizer: Tokenizer) -> list[normalizers.Normalizer]:
    """What is done to a text before SentencePiece, but for lower-casing: text/sentencepiece_text.py."""
    if tokenizer.keep_accents is None:
        return []
    spaces = [normalizers.Replace(Regex(rf"[{_ranges(str.isspace)}]+"), " "), normalizers.Strip()]
    marks = [normalizers.NFKD(), normalizers.Replace(Regex(rf"[{_ranges(unicodedata.combining)}]"), "")]
    quotes = [normalizers.Replace(Regex("``|''"), '"')]
    return spaces + quotes * tokenizer.replaces_quotes + marks * (not tokenizer.keep_accents)


def _ranges(is_in: Callable[[str], Any]) -> str:
    """The characters for a regular expression's brackets."""
    found = {codepoint for codepoint in range(sys.maxunicode + 1) if is_in(chr(codepoint))}
    starts = sorted(codepoint for codepoint in found if codepoint - 1 not in found)
    ends = sorted(codepoint for codepoint in found if codepoint + 1 not in found)
    return "".join(rf"\x{{{start:x}}}-\x{{{end:x}}}" for start, end in zip(starts, ends, strict=True))


def _unigram_normalizers(spec: Any, lowercase: bool) -> list[normalizers.Normalizer]:
    steps: list[normalizers.Normalizer] = []
    if spec.precompiled_charsmap:
        steps.append(normalizers.Precompiled(spec.precompiled_charsmap))
    if lowercase and _keeps_case(steps):
        steps[:0] = [_final_sigma(_IGNORED), normalizers.Lowercase()]
    if spec.remove_extra_whitespaces:
        steps += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    return steps


def _keeps_case(steps: list[normalizers.Normalizer]) -> bool:
    return "A" in normalizers.Sequence(steps).normalize_str("A")


def _final_sigma(passed_over: str) -> normalizers.Normalizer:
    """Lower-cases Greek Σ as the last letter of a word, to ς, which the library's normalizers, character by character,
    make σ; Python's lower(), so the original's ids too, knows the rule (Unicode's Final_Sigma).
    """
    return normalizers.Replace(Regex(rf"(?<={_CASED}{passed_over}*)Σ(?!{passed_over}*+{_CASED})"), "ς")


def _finish(
    library: tokenizers.Tokenizer,
    tokenizer: Tokenizer,
    directory: epath.Path,
    template: processors.TemplateProcessing,
    strip: bool = False,
) -> None:
    """Write tokenizer.json, which puts [CLS] and [SEP] around one text or two by `template`.

    `strip`: added tokens take the white space about them along, as where each text between them is one by itself.
    """
    special = _special_tokens(tokenizer)
    library.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special.values()])
    if tokenizer.kind == "bpe":  # as encode_with_masks does
        taking = AddedToken(
            special["mask"], special=True, normalized=False, lstrip=True, rstrip=tokenizer.puts_space_first
        )
        library.add_special_tokens([taking])
    for token in tokenizer.added_tokens:  # in the order of their ids, as which the library numbers them
        add = library.add_special_tokens if token.special else library.add_tokens
        flags = {name: getattr(token, name) for name in ("single_word", "normalized", "special")}
        stripped = {"lstrip": strip or token.lstrip, "rstrip": strip or token.rstrip}
        add([AddedToken(token.content, **flags, **stripped)])
    library.post_processor = template
    (directory / "tokenizer.json").write_text(library.to_str(pretty=True) + "\n")


def _template(tokenizer: Tokenizer, has_token_types: bool) -> processors.TemplateProcessing:
    cls, sep = (tokenizer.tokens[one] for one in (tokenizer.cls_id, tokenizer.sep_id))
    between = " ".join([f"{sep}:0"] * tokenizer.separators_between)
    # RoBERTa's classes have a table of one type, in which a second one is not found, and are given types if asked.
    second = tokenizer.second_segment if has_token_types or tokenizer.separators_between == 1 else 0
    return processors.TemplateProcessing(
        single=f"{cls}:0 $A:0 {sep}:0",
        pair=f"{cls}:0 $A:0 {between} $B:{second} {sep}:{second}",
        special_tokens=[(cls, tokenizer.cls_id), (sep, tokenizer.sep_id)],
    )
