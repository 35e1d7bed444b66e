"""Filling in masks of a file's rows: which column is read, what a row is called, and in which precision."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

import bert_jax
from bert_jax.config import ModelConfig
from bert_jax.errors import UserError
from bert_jax.inference import answer_file
from bert_jax.inference.fill_mask import MaskFiller, fill_masks
from bert_jax.interchange.pretrained import WITH_MASKED_LM, read_pretrained
from tests import fine_tuned_workdirs as workdirs


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    directory = tmp_path_factory.mktemp("pretrained") / "model"
    bert_jax.from_config(workdirs.MODEL, workdirs.TOKENIZER).save(directory)
    return directory


def filled(model, source, output, **how):
    assert fill_masks(model, str(source), str(output), 2, **how) == 2
    return [json.loads(line) for line in output.read_text().splitlines()]


def test_columns_header_and_dtype(model, tmp_path):
    source, output = tmp_path / "in.tsv", tmp_path / "out.jsonl"
    source.write_text("1\tthe [MASK] sat\n2\twhere is [MASK]\n")
    found = filled(model, source, output, columns="text:1", header="no")
    assert [one["text"] for one in found] == ["the [MASK] sat", "where is [MASK]"]
    coarse = filled(model, source, output, columns="text:1", header="no", dtype="bfloat16")
    shares = [one["masks"][0][0]["probability"] for one in (*found, *coarse)]
    assert shares[:2] != shares[2:]
    assert shares[:2] == pytest.approx(shares[2:], rel=0.05)


def test_words_do_not_depend_on_how_many_masks_other_rows_have(model, tmp_path):
    texts, output = ["the [MASK] sat", "[MASK] [MASK] is [MASK]"], tmp_path / "out.jsonl"

    def masks_of(*some):
        (tmp_path / "in.txt").write_text("".join(f"{text}\n" for text in some))
        fill_masks(model, str(tmp_path / "in.txt"), str(output), 2)
        return [json.loads(line)["masks"] for line in output.read_text().splitlines()]

    together, alone = masks_of(*texts), [masks_of(text)[0] for text in texts]
    assert [len(masks) for masks in together] == [1, 3]
    for found, expected in zip(together, alone, strict=True):
        for words, theirs in zip(found, expected, strict=True):
            assert [one["token"] for one in words] == [one["token"] for one in theirs]
            shares = [one["probability"] for one in theirs]
            assert [one["probability"] for one in words] == pytest.approx(shares, abs=2e-6)


def test_rows_of_the_table_that_are_no_token_are_no_words(model):
    """As of BERTs whose vocabulary was filled up to a round number."""
    whole = read_pretrained(model, ModelConfig(), WITH_MASKED_LM)
    size = whole.config.vocab_size
    arrays = {
        name: np.concatenate([array, np.full((3, *array.shape[1:]), 9, array.dtype)]) if len(array) == size else array
        for name, array in whole.arrays.items()
    }
    config = dataclasses.replace(whole.config, vocab_size=size + 3)
    texts, places = ["the [MASK] sat"], ["text 1"]
    expected = next(MaskFiller(whole, 2, "model").fill(texts, places))
    assert (
        next(MaskFiller(dataclasses.replace(whole, arrays=arrays, config=config), 2, "m").fill(texts, places))
        == expected
    )


def test_a_row_without_a_mask_is_named_by_its_line(model, tmp_path):
    source = tmp_path / "in.tsv"
    source.write_text("text\tlabel\nthe [MASK] sat\t1\nthe cat\t1\n")
    with pytest.raises(UserError, match=r"in\.tsv, line 3 has no \[MASK\]: 'the cat'"):
        fill_masks(model, str(source), str(tmp_path / "out.jsonl"), 2)


def test_a_format_that_it_does_not_write_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(UserError, match=r"out\.tsv: words for \[MASK\] are JSON Lines; give a name that .* \.jsonl"):
        fill_masks("not/there", "not/there.txt", str(tmp_path / "out.tsv"), 2)


def test_a_killed_command_goes_on_after_what_is_written(model, tmp_path, monkeypatch):
    source, output = tmp_path / "in.txt", tmp_path / "out.jsonl"
    source.write_text("the [MASK] sat\nthe dog [MASK]\n")
    whole = filled(model, source, output)
    begun = tmp_path / "out.jsonl.partial"

    def killed(path):
        shutil.copy(begun, tmp_path / "begun")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(answer_file, "whole_file", killed)
        with pytest.raises(KeyboardInterrupt):
            filled(model, source, output)
    head, first, _ = (tmp_path / "begun").read_text().splitlines()
    begun.write_text(f"{head}\n{first.replace('the', 'THE')}\n{{")  # the second line is torn
    assert [one["text"] for one in filled(model, source, output)] == ["THE [MASK] sat", "the dog [MASK]"]
    begun.write_text(f"{head}\n{first.replace('the', 'THE')}\n")
    assert filled(model, source, output, dtype="bfloat16")[0]["text"] == "the [MASK] sat"  # another command's
    assert filled(model, source, output) == whole
    assert not begun.exists()
