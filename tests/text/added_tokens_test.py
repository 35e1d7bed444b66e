"""Added tokens, judged by transformers: what its directories say of them, and where a text holds them."""

import json
import shutil
from pydoc_data.topics import topics

import pytest
import tokenizers
import transformers
from etils import epath

from bert_jax.errors import UserError
from bert_jax.text import vocabulary
from bert_jax.text.added_tokens import AddedToken, read_added_tokens
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.text.tokenizer import Tokenizer

LINES = [line for _, text in sorted(topics.items()) for line in text.splitlines() if line.strip()]
ODD = [
    "COVID Covid covids covid-19 xcovid",
    "an object's \tnamespace  namespaces Namespace",
    "Élan élan elan E\u0301lan élans",
    "中国人和中国 韓國",
    "[DRUG]aspirin[DRUG] [drug] [Drug]",
    "iteration reiterations iter ITER iter",
    "  ARDS  xARDS ARDS_1 ARDSé ards",
]
SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
# The files of a release 4 of transformers, of its tokenizers in Python, of a release 5, and of before 2023.
FILES = {
    "release 4": [],
    "in Python": ["tokenizer.json", "added_tokens.json"],
    "release 5": ["vocab.txt", "added_tokens.json", "special_tokens_map.json"],
}


def characters():
    found = sorted(set("".join([*LINES, *ODD]) + "".join([*LINES, *ODD]).lower()) - set(" \t\n"))
    return [*found, *(f"##{char}" for char in found)]


@pytest.fixture(scope="module", params=[(True, {}), (False, {}), (True, {"strip_accents": False})], ids=str)
def theirs(request, tmp_path_factory):
    """A BertTokenizerFast to which tokens of every sort were added, and the directory where it was saved."""
    lowercase, settings = request.param
    directory = tmp_path_factory.mktemp("theirs")
    words = vocabulary.train_wordpiece(LINES, 900, lowercase).tokens
    (directory / "vocab.txt").write_text("".join(f"{token}\n" for token in dict.fromkeys([*words, *characters()])))
    tokenizer = transformers.BertTokenizerFast(str(directory / "vocab.txt"), do_lower_case=lowercase, **settings)
    tokenizer.add_tokens(["covid", "covid-19", "Élan", "中国", "name", "the", "object's"])
    flagged = [
        tokenizers.AddedToken("ARDS", single_word=True, normalized=False),
        tokenizers.AddedToken("iter", single_word=True),
        tokenizers.AddedToken("Note", normalized=False, lstrip=True, rstrip=True),
    ]
    tokenizer.add_tokens(flagged)
    tokenizer.add_special_tokens({"additional_special_tokens": ["[DRUG]"]})
    tokenizer.save_pretrained(directory)
    return tokenizer, directory


@pytest.mark.parametrize("files", FILES)
def test_texts_are_cut_as_by_transformers(theirs, tmp_path, files):
    tokenizer, directory = theirs
    shutil.copytree(directory, tmp_path / "copy")
    for name in FILES[files]:
        (tmp_path / "copy" / name).unlink()
    ours = load_tokenizer(tmp_path / "copy")
    assert ours.tokens == [tokenizer.convert_ids_to_tokens(token_id) for token_id in range(len(tokenizer))]
    assert len(ours.tokens) == ours.vocab_size == len(ours.continues_word)
    found = set()
    for line in [*ODD, *LINES[:1000]]:
        ids = ours.encode(line)
        assert ids == tokenizer(line, add_special_tokens=False)["input_ids"], line
        found.update(ids)
    assert found >= {token.id for token in ours.added_tokens}
    # All forms of the directory are one vocabulary, and it is the same when it was saved.
    assert ours.fingerprint == load_tokenizer(directory).fingerprint
    ours.save(tmp_path / "saved")
    saved = load_tokenizer(tmp_path / "saved")
    assert (saved.fingerprint, saved.tokens) == (ours.fingerprint, ours.tokens)
    assert [saved.encode(line) for line in ODD] == [ours.encode(line) for line in ODD]


def test_without_added_tokens_a_fingerprint_is_what_it_was(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, "the", "##s"]) + "\n")
    assert load_tokenizer(tmp_path).fingerprint == "94c9206eacff44fa"
    tokenizer = transformers.BertTokenizerFast(str(tmp_path / "vocab.txt"))
    tokenizer.save_pretrained(tmp_path / "theirs")  # whose files name the special tokens as added ones
    assert load_tokenizer(tmp_path / "theirs").fingerprint == "94c9206eacff44fa"
    tokenizer.add_tokens(["covid"])
    tokenizer.save_pretrained(tmp_path / "theirs")
    assert load_tokenizer(tmp_path / "theirs").fingerprint != "94c9206eacff44fa"


def test_a_file_that_tells_ids_alone(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, "the", "co", "##vid", "[", "]", "e"]) + "\n")
    (tmp_path / "added_tokens.json").write_text('{"covid": 11, "[E]": 12}')
    (tmp_path / "special_tokens_map.json").write_text('{"additional_special_tokens": ["[E]"], "cls_token": "[CLS]"}')
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    assert read_added_tokens(epath.Path(tmp_path)) == [
        AddedToken(11, "covid"),
        AddedToken(12, "[E]", normalized=False, special=True),
    ]
    assert load_tokenizer(tmp_path).encode("The COVID [E] [e]") == [5, 11, 12, 8, 10, 9]


def test_the_spelling_of_the_five_special_tokens_is_ordinary_text(theirs):
    ours = load_tokenizer(theirs[1])
    special = {ours.tokens.index(token) for token in SPECIAL_TOKENS} - {ours.unk_id}
    assert not special & set(ours.encode("[MASK] [CLS][SEP] [PAD]"))


def test_added_tokens_are_words_when_decoded(theirs):
    ours = load_tokenizer(theirs[1])
    ids = [ours.cls_id, *ours.encode("covid namespaces"), ours.sep_id]
    assert ours.decode(ids) == "[CLS] covid name spaces [SEP]"
    assert not any(ours.continues_word[ours.first_added_id :])


def trained_bpe():
    return vocabulary.train_bpe(LINES, 600, lowercase=False).files()["tokenizer.json"]


def test_of_byte_level_bpe_special_ones_are_found_too(tmp_path):
    library = tokenizers.Tokenizer.from_str(trained_bpe().decode())
    library.add_tokens(["covid"])
    library.add_special_tokens(["[DRUG]"])
    library.save(str(tmp_path / "tokenizer.json"))
    ours = load_tokenizer(tmp_path)
    for line in ODD:
        assert ours.encode(line) == library.encode(line, add_special_tokens=False).ids
    assert ours.tokens[600:] == ["covid", "[DRUG]"]
    assert {600, 601} <= {token_id for line in ODD for token_id in ours.encode(line)}
    assert 4 not in ours.encode("[MASK]")


def test_a_sentencepiece_model_takes_added_tokens(tmp_path):
    for lowercase in (True, False):
        directory = tmp_path / str(lowercase)
        Tokenizer(vocabulary.train_sentencepiece(LINES, 600, lowercase)).save(directory)
        (directory / "vocabulary.json").unlink()
        plain = load_tokenizer(directory)
        (directory / "added_tokens.json").write_text('{"covid": 600, "Namespace": 601}')
        ours = load_tokenizer(directory)
        for first, second in [("a name", "is bound"), ("", "The object"), ("(see", ")")]:
            assert ours.encode(f"{first} covid {second}") == [*plain.encode(first), 600, *plain.encode(second)]
            assert ours.encode(f"{first}covid{second}") == [*plain.encode(first), 600, *plain.encode(second)]
        assert ours.encode("no namespace") == [
            *plain.encode("no"),
            *([601] if lowercase else plain.encode("namespace")),
        ]
        assert ours.decode(ours.encode("a covid name")) == "a covid name"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("added_tokens.json", '{"covid": 9}', r"adds 'covid' with id 9 and nothing with 7; save the tokenizer with"),
        ("added_tokens.json", '{"covid": 5}', r"adds 'covid' with id 5, which is that of 'the'"),
        ("added_tokens.json", '{"covid": 7, "the": 8}', r"adds 'the' with id 8, and it has id 5; save"),
        ("added_tokens.json", '{"covid": -1}', r"added_tokens\.json is damaged .*>= 0"),
        ("added_tokens.json", '["covid"]', r"added_tokens\.json is damaged"),
        ("added_tokens.json", "{", r"added_tokens\.json is not JSON"),
        ("special_tokens_map.json", '{"additional_special_tokens": 3}', r"special_tokens_map\.json is damaged"),
        ("tokenizer_config.json", '{"added_tokens_decoder": {"seven": {}}}', r"tokenizer_config\.json is damaged"),
        ("tokenizer_config.json", '{"added_tokens_decoder": {"7": {}}}', r"tokenizer_config\.json .*`content`"),
        (
            "tokenizer_config.json",
            '{"added_tokens_decoder": {"7": {"content": ""}}}',
            r"tokenizer_config\.json .*length",
        ),
        ("tokenizer.json", '{"added_tokens": [{"id": 7, "content": "x", "lstrip": 3}]}', r"tokenizer\.json .*lstrip"),
    ],
)
def test_what_cannot_be_is_named(tmp_path, name, content, message):
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, "the", "##s"]) + "\n")
    (tmp_path / "added_tokens.json").write_text('{"covid": 7}')
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message):
        load_tokenizer(tmp_path)


def test_bpe_has_no_tokens_but_those_of_its_file(tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(trained_bpe())
    (tmp_path / "added_tokens.json").write_text(json.dumps({"covid": 600}))
    with pytest.raises(UserError, match=r"adds 'covid', of which its tokenizer\.json does not know"):
        load_tokenizer(tmp_path)
