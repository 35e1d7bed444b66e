"""RoBERTa's vocabulary from its two files: the published ids, and transformers' on real text."""

import json
from pathlib import Path
from pydoc_data.topics import topics

import pytest
import tokenizers
import transformers

from bert_jax.config import TextConfig
from bert_jax.errors import UserError
from bert_jax.interchange.huggingface_tokenizer import write_tokenizer
from bert_jax.tasks.encoding import TextEncoder
from bert_jax.tasks.rows import make_rows
from bert_jax.tasks.text_tokens import tokens_of
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.text.masked_text import encode_with_masks
from bert_jax.text.tokenizer import Tokenizer
from bert_jax.text.trainers import train_bpe

PUBLISHED = Path(__file__).resolve().parents[2].parent / "shared" / "golden" / "roberta"
needs_published = pytest.mark.skipif(not PUBLISHED.is_dir(), reason="needs the published vocabulary")
TEXTS = ["Hello world!", " two  spaces\tand a tab ", "cécé 日本語 😀", "x", *topics["assert"].splitlines()]


@pytest.fixture(scope="module")
def roberta():
    return load_tokenizer(PUBLISHED)


@needs_published
def test_the_published_ids(roberta):
    special = (roberta.cls_id, roberta.pad_id, roberta.sep_id, roberta.unk_id, roberta.mask_id)
    assert (roberta.vocab_size, *special) == (50265, 0, 1, 2, 3, 50264)
    assert roberta.encode("Hello world!") == [31414, 232, 328]
    assert roberta.encode("world") == [8331]
    odd = [31414, 232, 328, 740, 1140, 12695, 69, 46078, 1588]
    assert roberta.encode("Hello world! cécé herlolip") == odd
    ids = encode_with_masks("A, <mask> AllenNLP sentence.", roberta)
    assert ids == [250, 6, 50264, 3823, 487, 21992, 3645, 4]
    assert encode_with_masks("A, [MASK] AllenNLP sentence.", roberta) == ids


@needs_published
def test_a_pair_has_two_separators_between(roberta, tmp_path):
    roberta.save(tmp_path)
    for tokenizer in (roberta, load_tokenizer(tmp_path)):
        encoder = TextEncoder(tokenizer, TextConfig(max_length=8), windows=False)
        assert encoder.rows("Hello world!")[0].ids == [0, 31414, 232, 328, 2]
        row = encoder.rows("Hello world!", "world")[0]
        assert (row.ids, row.first_segment) == ([0, 31414, 232, 328, 2, 2, 8331, 2], 6)
        (cut,) = encoder.rows("Hello world!", "world world")
        assert cut.ids == [0, 31414, 232, 2, 2, 8331, 232, 2]
    tokens = tokens_of(TextEncoder(roberta, TextConfig(max_length=16), windows=False), "Hello world", "world")
    assert tokens.special.tolist() == [1, 0, 0, 1, 1, 0, 1]
    assert tokens.offsets.tolist() == [[0, 0], [0, 5], [6, 11], [0, 0], [0, 0], [0, 5], [0, 0]]


@needs_published
@pytest.mark.parametrize("add_prefix_space", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_ids_are_those_of_transformers(roberta, add_prefix_space, tmp_path):
    theirs = transformers.RobertaTokenizer(
        str(PUBLISHED / "vocab.json"), str(PUBLISHED / "merges.txt"), add_prefix_space=add_prefix_space
    )
    theirs.add_tokens(["protein kinase"])
    theirs.save_pretrained(tmp_path)  # with tokenizer_config.json, and no tokenizer.json
    ours = load_tokenizer(tmp_path)
    for text in [*TEXTS, "a protein kinase here"]:
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False)
    assert ours.vocab_size == 50266
    assert (ours.fingerprint == roberta.fingerprint) is False


@needs_published
@pytest.mark.parametrize("add_prefix_space", [False, True])
def test_the_space_before_a_text_is_as_tokenizer_config_says(tmp_path, add_prefix_space):
    """Also where tokenizer.json, which lies beside it, says otherwise."""
    files = str(PUBLISHED / "vocab.json"), str(PUBLISHED / "merges.txt")
    transformers.RobertaTokenizerFast(*files, add_prefix_space=not add_prefix_space).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config | {"add_prefix_space": add_prefix_space}))
    theirs, ours = transformers.AutoTokenizer.from_pretrained(tmp_path), load_tokenizer(tmp_path)
    for text in TEXTS:
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False)
    ours.save(tmp_path / "saved")
    assert load_tokenizer(tmp_path / "saved").encode(TEXTS[0]) == ours.encode(TEXTS[0])


@pytest.fixture(scope="module", params=["published", "trained"])
def tokenizer(request):
    if request.param == "published":
        if not PUBLISHED.is_dir():
            pytest.skip("needs the published vocabulary")
        return load_tokenizer(PUBLISHED)
    return Tokenizer(train_bpe([line for text in topics.values() for line in text.splitlines()], 900, lowercase=False))


def segments_and_ids(encoder):
    """Of a pair, as a model reads them."""
    rows = make_rows(encoder.rows("the text", "and another"), [0])
    batch = rows.batch([0], 1, int(rows.lengths[0]))
    return batch["segment_ids"][0].tolist(), batch["input_ids"][0].tolist()


def _theirs(tokenizer):
    pair = tokenizer("the text", "and another", return_token_type_ids=True)
    return pair["token_type_ids"], pair["input_ids"]


def of_roberta(tokenizer, directory):
    """The files of its class in transformers, with the same tokens."""
    tokenizer.save(directory)
    (directory / "vocabulary.json").unlink()
    special = {f"{name}_token": tokenizer.tokens[getattr(tokenizer, f"{name}_id")] for name in ("cls", "sep", "mask")}
    special |= {f"{name}_token": tokenizer.tokens[getattr(tokenizer, f"{name}_id")] for name in ("pad", "unk")}
    special |= {"bos_token": special["cls_token"], "eos_token": special["sep_token"]}
    library = tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))
    sep, cls = ((tokenizer.tokens[one], one) for one in (tokenizer.sep_id, tokenizer.cls_id))
    library.post_processor = tokenizers.processors.RobertaProcessing(sep, cls, add_prefix_space=False)
    library.save(str(directory / "tokenizer.json"))
    transformers.PreTrainedTokenizerFast(tokenizer_object=library, **special).save_pretrained(directory)
    return load_tokenizer(directory), transformers.AutoTokenizer.from_pretrained(directory)


def test_a_second_text_has_the_token_type_that_the_file_gives_it(tmp_path):
    """As transformers gives it, and our export to others; a model fine-tuned before keeps what it was trained with."""
    lines = [line for text in topics.values() for line in text.splitlines()]
    ours, theirs = of_roberta(Tokenizer(train_bpe(lines[:2000], 400, lowercase=False)), tmp_path / "roberta")
    ours.save(tmp_path / "saved")
    for number, tokenizer in enumerate((ours, load_tokenizer(tmp_path / "saved"))):
        encoder = TextEncoder(tokenizer, TextConfig(max_length=64), windows=False)
        assert segments_and_ids(encoder) == _theirs(theirs)
        assert set(segments_and_ids(encoder)[0]) == {0}
        write_tokenizer(tokenizer, tmp_path / f"export{number}", 64)
        assert _theirs(transformers.AutoTokenizer.from_pretrained(tmp_path / f"export{number}")) == _theirs(theirs)
    description = json.loads((tmp_path / "saved" / "vocabulary.json").read_text())
    del description["second_segment"]
    (tmp_path / "saved" / "vocabulary.json").write_text(json.dumps(description))
    before = load_tokenizer(tmp_path / "saved")
    encoder = TextEncoder(before, TextConfig(max_length=64), windows=False)
    assert set(segments_and_ids(encoder)[0]) == {0, 1}
    write_tokenizer(before, tmp_path / "export", 64)
    assert _theirs(transformers.AutoTokenizer.from_pretrained(tmp_path / "export")) == segments_and_ids(encoder)
    write_tokenizer(before, tmp_path / "without", 64, has_token_types=False)
    assert not any(_theirs(transformers.AutoTokenizer.from_pretrained(tmp_path / "without"))[0])


def test_an_exported_tokenizer_gives_the_same_with_pairs_and_masks(tokenizer, tmp_path):
    write_tokenizer(tokenizer, tmp_path, 64)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    encoder = TextEncoder(tokenizer, TextConfig(max_length=64), windows=False)
    assert segments_and_ids(encoder) == _theirs(theirs)
    assert any(_theirs(theirs)[0]) == (tokenizer.separators_between == 1)
    mask = tokenizer.tokens[tokenizer.mask_id]
    for text in (f"the {mask} statement", f"{mask} first", f"last  {mask}", f"the {mask} {mask} two", f"un{mask}able"):
        assert theirs.encode(text, add_special_tokens=False) == encode_with_masks(text, tokenizer)


def test_a_mask_stands_for_a_token_with_its_space(tokenizer):
    whole = tokenizer.encode("in the statement of")
    at = whole.index(tokenizer.encode_word("the")[0])
    masked = [*whole[:at], tokenizer.mask_id, *whole[at + 1 :]]
    assert encode_with_masks("in [MASK] statement of", tokenizer) == masked


def small_files(directory, vocab=None, merges="#version: 0.2\na b\n"):
    special = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "a": 4, "b": 5, "ab": 6, "<mask>": 7}
    (directory / "vocab.json").write_text(json.dumps(special if vocab is None else vocab))
    if merges is not None:
        (directory / "merges.txt").write_text(merges)
    return directory


def test_files_with_and_without_a_version(tmp_path):
    assert load_tokenizer(small_files(tmp_path)).encode("abba") == [6, 5, 4]
    assert load_tokenizer(small_files(tmp_path, merges="a b\r\n")).encode("abba") == [6, 5, 4]
    assert load_tokenizer(tmp_path / "vocab.json").encode("abba") == [6, 5, 4]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"merges": None}, r"merges.txt is missing, without which vocab.json says nothing of a text; put it there"),
        ({"merges": "a b c\n"}, r"merges.txt holds 'a b c', which is no pair of tokens; get the file again"),
        ({"merges": "a q\n"}, r"vocab.json and merges.txt do not belong together .*; give the vocab.json that belongs"),
        ({"vocab": {"<s>": 0, "<pad>": 2}}, r"vocab.json gives an id twice or leaves one out; give the vocab.json"),
        ({"vocab": {"a": 0, "b": 1}}, r"vocab.json has no token \[PAD\] or <pad>, which pretraining needs"),
        ({"vocab": {"a": "x"}}, r"vocab.json is damaged or of another version: Expected `int`, got `str`"),
    ],
)
def test_bad_files_are_named(files, message, tmp_path):
    with pytest.raises(UserError, match=message):
        load_tokenizer(small_files(tmp_path, **files))
