"""Hard negatives: what is passed over, and that the task reads what is written."""

import json

import numpy as np
import pytest

from bert_jax.errors import UserError
from bert_jax.inference.embedding_options import EmbeddingOptions
from bert_jax.inference.mining import _line, mine, mine_file, negatives
from bert_jax.tasks.columns import Columns
from bert_jax.tasks.examples import PairExample
from bert_jax.tasks.pairs import read_pairs


def test_ranks_and_margin():
    scores = np.array([0.2, 0.9, -np.inf, 0.79, 0.5, 0.76, 0.5])
    assert negatives(scores, 0.8, 3, 0, 0.95) == [5, 4, 6]  # 0.9 and 0.79 are over 0.76
    assert negatives(scores, 0.8, 3, 1, 1.0) == [3, 5, 4]
    assert negatives(scores, 0.8, 9, 3, 0.95) == [4, 6, 0]
    assert negatives(scores, 1.0, 2, 0, 1.0) == [1, 3]
    assert negatives(scores, 0.1, 2, 0, 0.95) == []
    assert negatives(scores, 0.8, 2, 50, 0.95) == []
    assert negatives(np.array([-0.5, -0.6]), -0.5, 2, 0, 0.95) == [1]  # the margin is below the positive's in any case


class Angles:
    """An embedder of texts that are angles."""

    def of_texts(self, texts, watch=iter):
        return np.array([[np.cos(float(text)), np.sin(float(text))] for text in texts], np.float32)


def test_positives_of_the_anchor_are_none():
    pairs = [("0", "0.5"), ("0", "0.6"), ("1", "0.7"), ("3", "0"), ("2", "2.5")]
    examples = [PairExample("", None, *pair, None, ()) for pair in pairs]
    found = mine(Angles(), examples, 2, 0, 1.0)
    assert found[:2] == [["0.7", "2.5"]] * 2  # neither the other positive nor "0" itself
    assert mine(Angles(), examples, 2, 1, 1.0)[:2] == [["2.5"]] * 2  # nor are these counted among those passed over
    assert found[4] == ["0.7", "0.6"]  # 2.5 is its own; the others by distance from 2


def test_a_pair_says_so_of_both_texts():
    pairs = [("0", "0.1"), ("0.5", "0"), ("1.2", "0.5"), ("2", "0.8")]
    found = mine(Angles(), [PairExample("", None, *pair, None, ()) for pair in pairs], 9, 0, 1.0)
    assert found[0] == ["0.8"]  # 0.5 has 0 as its positive


def test_a_file(tiny_bert, tmp_path, caplog):
    rows = [("the wing", "a plane"), ("the dog", "a cat"), ("a fox", "the hull")]
    path = tmp_path / "pairs.tsv"
    path.write_text("anchor\tpositive\n" + "".join("\t".join(row) + "\n" for row in rows))
    output = tmp_path / "mined.jsonl"
    options = EmbeddingOptions(str(tiny_bert), batch_tokens=64)
    mine_file(options, str(path), str(output), most=1, skip=0, margin=1.0)
    assert "longer than" not in caplog.text
    mined = read_pairs(str(output), Columns(), True)
    assert [(one.text, one.text2) for one in mined] == rows
    positives = {positive for _, positive in rows}
    assert all(set(one.negatives) <= positives - {one.text2} for one in mined)
    assert any(one.negatives for one in mined)
    assert set(json.loads(output.read_text().splitlines()[0])) == {"anchor", "positive", "negatives"}


def test_a_rows_own_id_and_negatives_stay(tiny_bert, tmp_path):
    rows = [
        {"id": 7, "anchor": "the wing", "positive": "a plane", "negatives": ["the lift", "a cat"]},
        {"id": "b", "anchor": "the dog", "positive": "a cat"},
    ]
    path, output = tmp_path / "pairs.jsonl", tmp_path / "mined.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    mine_file(EmbeddingOptions(str(tiny_bert)), str(path), str(output), most=9, skip=0, margin=0.0)
    assert [json.loads(line) for line in output.read_text().splitlines()] == [rows[0], rows[1] | {"negatives": []}]
    (tmp_path / "bad.jsonl").write_text('{"id": NaN, "anchor": "the wing", "positive": "a plane"}\n')
    with pytest.raises(UserError, match=r"bad\.jsonl, line 1: its id is NaN, and an id is text or a whole number"):
        mine_file(EmbeddingOptions(str(tiny_bert)), f"{tmp_path}/bad.jsonl", str(output), most=9, skip=0, margin=0.0)
    # Whatever is mined comes behind them, and what is there once stays so.
    assert json.loads(_line(PairExample("", 7, "x", "y", None, ("b", "a")), ["c", "a"])) == {
        "id": 7,
        "anchor": "x",
        "positive": "y",
        "negatives": ["b", "a", "c"],
    }


def test_the_log_says_that_texts_are_cut(tiny_bert, tmp_path, caplog):
    path = tmp_path / "pairs.tsv"
    path.write_text("anchor\tpositive\nthe wing\ta plane\nthe dog\ta quick brown fox\n")
    options = EmbeddingOptions(str(tiny_bert), max_length=5)
    mine_file(options, str(path), str(tmp_path / "mined.jsonl"), most=1, skip=0, margin=1.0)
    assert f"{path}: 1 of 4 texts are longer than 5 tokens: cut (--long=windows reads all of them)" in caplog.text


def test_what_cannot_be_mined(tiny_bert, tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("text1\ttext2\tscore\na\tb\t1\n")
    options = EmbeddingOptions(str(tiny_bert))
    with pytest.raises(UserError, match=r"give a name that ends in \.jsonl"):
        mine_file(options, str(path), str(tmp_path / "mined"), 1, 0, 1.0)
    path = path.rename(tmp_path / "pairs.jsonl")
    with pytest.raises(UserError, match=r"^--output=.*pairs\.jsonl is --mine, which would be lost; give another file"):
        mine_file(options, str(path), str(path), 1, 0, 1.0)
    path = path.rename(tmp_path / "pairs.tsv")
    with pytest.raises(UserError, match=r"pairs\.tsv has scores; mining is for anchors and positives"):
        mine_file(options, str(path), str(tmp_path / "mined.jsonl"), 1, 0, 1.0)
