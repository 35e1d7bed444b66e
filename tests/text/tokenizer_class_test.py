"""What the class of a Hugging Face tokenizer makes of the settings beside it: the ids are those of transformers."""

import json

import pytest
import tokenizers
import transformers
from tokenizers import models, normalizers, pre_tokenizers

from bert_jax.interchange.huggingface_tokenizer import write_tokenizer
from bert_jax.text.load_tokenizer import load_tokenizer

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["cafe", "Cafe", "café", "Café", "the", "The", "中", "文", "中文"]
TEXTS = ["Café cafe CAFE café", "The 中文 the", "Cafe"]


def wordpiece(directory, lowercase, strip_accents=None):
    tokens = [*SPECIAL_TOKENS, *WORDS]
    (directory / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    library = tokenizers.Tokenizer(models.WordPiece({token: n for n, token in enumerate(tokens)}, unk_token="[UNK]"))
    library.normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=strip_accents)
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    library.add_special_tokens(SPECIAL_TOKENS)
    library.save(str(directory / "tokenizer.json"))


def byte_bpe(directory, lowercase):
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    library = tokenizers.Tokenizer(models.BPE())
    library.normalizer = normalizers.Lowercase() if lowercase else None
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    library.train_from_iterator(TEXTS * 5, trainer)
    library.save(str(directory / "tokenizer.json"))
    library.model.save(str(directory))


def check(directory, settings, model_type):
    """Also of our copy of it, and of our export."""
    if settings is not None:
        special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"} if model_type == "roberta" else {}
        (directory / "tokenizer_config.json").write_text(json.dumps(settings | special))
    (directory / "config.json").write_text(json.dumps({"model_type": model_type}))
    theirs = transformers.AutoTokenizer.from_pretrained(directory)
    ours = load_tokenizer(directory)
    ours.save(directory / "saved")
    write_tokenizer(ours, directory / "export", 64)
    for text in TEXTS:
        ids = theirs(text, add_special_tokens=False)["input_ids"]
        for tokenizer in (ours, load_tokenizer(directory / "saved"), load_tokenizer(directory / "export")):
            assert tokenizer.encode(text) == ids, text
    return ours


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("said", [{}, {"do_lower_case": True}, {"do_lower_case": False}], ids=str)
@pytest.mark.parametrize(
    ("tokenizer_class", "model_type"),
    [
        ("BertTokenizer", "bert"),
        ("DistilBertTokenizerFast", "distilbert"),
        ("PreTrainedTokenizerFast", "bert"),
        (None, "bert"),
        (None, "mpnet"),
    ],
)
@pytest.mark.parametrize("has_vocab_txt", [True, False])
def test_case_of_wordpiece_is_as_the_class_has_it(
    tmp_path, lowercase, said, tokenizer_class, model_type, has_vocab_txt
):
    wordpiece(tmp_path, lowercase)
    if not has_vocab_txt:
        (tmp_path / "vocab.txt").unlink()
    check(tmp_path, said | ({"tokenizer_class": tokenizer_class} if tokenizer_class else {}), model_type)


@pytest.mark.parametrize("tokenizer_class", ["BertTokenizer", "PreTrainedTokenizerFast"])
def test_accents_and_ideographs_are_as_the_class_has_them(tmp_path, tokenizer_class):
    wordpiece(tmp_path, lowercase=True, strip_accents=False)
    ours = check(tmp_path, {"tokenizer_class": tokenizer_class}, "bert")
    assert ours.strip_accents == (tokenizer_class == "BertTokenizer")
    others = {"tokenizer_class": tokenizer_class, "strip_accents": True, "tokenize_chinese_chars": False}
    ours = check(tmp_path, others, "bert")
    by_class = tokenizer_class == "BertTokenizer"
    assert (ours.strip_accents, ours.tokenize_chinese_chars) == (by_class, not by_class)


def test_a_directory_without_settings_has_those_of_its_models_class(tmp_path):
    wordpiece(tmp_path, lowercase=False)
    assert check(tmp_path, None, "bert").lowercase


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("do_lower_case", [True, False])
@pytest.mark.parametrize("tokenizer_class", ["RobertaTokenizerFast", "RobertaTokenizer", "PreTrainedTokenizerFast"])
def test_case_of_byte_level_bpe_is_as_its_file_has_it(tmp_path, lowercase, do_lower_case, tokenizer_class):
    byte_bpe(tmp_path, lowercase)
    ours = check(tmp_path, {"tokenizer_class": tokenizer_class, "do_lower_case": do_lower_case}, "roberta")
    assert ours.lowercase == lowercase
    assert load_tokenizer(tmp_path, do_lower_case=True).lowercase  # which goes before what is there


@pytest.mark.parametrize("settings", [{"tokenizer_class": "RobertaTokenizer"}, {}], ids=str)
def test_case_of_vocab_json_stays(tmp_path, settings):
    byte_bpe(tmp_path, lowercase=False)
    (tmp_path / "tokenizer.json").unlink()
    assert not check(tmp_path, settings | {"do_lower_case": True}, "roberta").lowercase
