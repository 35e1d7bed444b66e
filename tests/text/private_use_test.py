"""Characters of private use: dropped as transformers does in its directories, kept as the original does elsewhere.

Format characters that came with Unicode 14 and later (U+0890) are left out: transformers' tables do not have them.
"""

import json
import random

import pytest
import transformers
from etils import epath

from bert_jax.interchange.huggingface_tokenizer import write_tokenizer
from bert_jax.text.load_tokenizer import load_tokenizer

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = "xyé中.Σ"
PRIVATE = "\ue000\uf0b7\uf8ff\U000f0000\U0010fffd"
ODD = "\u0378\u200b\u00ad\ufeff\ufffd\x00\x01\t \u00a0\u0301"  # unassigned, of formats, controls, spaces, a mark


@pytest.fixture
def vocabulary(tmp_path):
    """A bare vocab.txt, which is the original's."""
    pieces = [*"xyYé中.e", *PRIVATE, "##x", "##y", "##Y"]
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, *pieces]) + "\n", encoding="utf-8")
    return tmp_path / "vocab.txt"


def texts():
    draw = random.Random(0)
    pool = [*LETTERS, *"XYxy", *PRIVATE, *PRIVATE, *ODD]
    return ["Y\ue000XYY", *("".join(draw.choices(pool, k=draw.randint(1, 12))) for _ in range(3000))]


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("splits", [True, False])
def test_they_are_dropped_as_transformers_does(vocabulary, tmp_path, lowercase, splits):
    """Of a directory of transformers, with vocab.txt and without, of our copy of it, and of our export."""
    theirs = transformers.BertTokenizerFast(
        str(vocabulary), do_lower_case=lowercase, tokenize_chinese_chars=splits, strip_accents=lowercase
    )
    theirs.save_pretrained(tmp_path / "theirs")
    ours = [load_tokenizer(tmp_path / "theirs")]
    ours[0].save(tmp_path / "saved")
    write_tokenizer(ours[0], epath.Path(tmp_path) / "export", 64)
    (tmp_path / "theirs" / "vocab.txt").unlink()
    ours += [load_tokenizer(tmp_path / name) for name in ("theirs", "saved", "export")]
    exported = transformers.AutoTokenizer.from_pretrained(tmp_path / "export")
    for text in texts():
        ids = theirs(text, add_special_tokens=False)["input_ids"]
        if "Σ" not in text:  # which they make σ at the end of words, too
            assert [tokenizer.encode(text) for tokenizer in ours] == [ids] * 4, ascii(text)
        assert exported(text, add_special_tokens=False)["input_ids"] == ours[0].encode(text), ascii(text)
        assert ours[0].encode_with_offsets(text).ids == ours[0].encode(text)
    found = ours[0].encode_with_offsets("x\uf0b7y")
    assert found.offsets == [(0, 1), (2, 3)]


def test_the_original_keeps_them_and_so_do_vocabularies_saved_before(vocabulary, tmp_path):
    original = load_tokenizer(vocabulary)
    bullet = original.tokens.index("\uf0b7")
    assert original.encode("\uf0b7 x") == [bullet, original.tokens.index("x")]
    original.save(tmp_path / "original")
    assert "drops_private_use" not in json.loads((tmp_path / "original" / "vocabulary.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text("{}")
    dropping = load_tokenizer(tmp_path)
    assert dropping.encode("\uf0b7 x") == [original.tokens.index("x")]
    assert dropping.fingerprint == original.fingerprint  # it is the same vocabulary
    dropping.save(tmp_path / "saved")
    description = json.loads((tmp_path / "saved" / "vocabulary.json").read_text())
    assert description.pop("drops_private_use") is True
    (tmp_path / "saved" / "vocabulary.json").write_text(json.dumps(description))
    assert load_tokenizer(tmp_path / "saved").encode("\uf0b7 x") == original.encode("\uf0b7 x")
