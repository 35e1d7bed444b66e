"""How often tokens occur in records: counted once, kept, and used by the masks of a run."""

import collections

import jax
import numpy as np
import pytest

from bert_jax.config import Config, DataConfig, MeshConfig, PhaseConfig
from bert_jax.data.source import RecordSource
from bert_jax.data.token_counts import token_counts
from bert_jax.parallel.mesh import make_mesh
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.training.open_phases import open_phases


@pytest.fixture
def records(chain, tmp_path):
    """A directory of records whose shards are the chain's, and its own index."""
    theirs, mine = chain.directory / "records-32", tmp_path / "records"
    mine.mkdir()
    for path in theirs.iterdir():
        if path.name != "index":
            (mine / path.name).symlink_to(path)
    return mine


def counted(directory, split="train"):
    """Token by token, masks undone one by one."""
    source, found = RecordSource(directory, split), collections.Counter()
    for number in range(len(source)):
        record = source[number]
        ids = record["input_ids"].tolist()
        labels = zip(record["masked_lm_positions"], record["masked_lm_ids"], record["masked_lm_weights"], strict=True)
        for position, label, weight in labels:
            if weight:
                ids[position] = int(label)
        found.update(ids[: record["input_mask"].sum()])
    return [found[token] for token in range(source.manifest.vocab_size)]


def test_they_are_counted_once_and_made_anew_where_they_are_damaged(records, monkeypatch):
    expected = counted(records)
    assert token_counts(RecordSource(records, "train")).tolist() == expected
    (kept,) = (records / "index").glob("token_counts-*.npy")
    with monkeypatch.context() as patch:
        patch.setattr(RecordSource, "fetch", None)
        assert token_counts(RecordSource(records, "train")).tolist() == expected
    whole = kept.read_bytes()
    for damage in (b"", whole[:-8], whole[:200] + b"\xff" * 8 + whole[208:], b"no array" * 40):
        kept.write_bytes(damage)
        assert token_counts(RecordSource(records, "train")).tolist() == expected
        assert kept.read_bytes() == whole


def test_other_records_have_their_own(records):
    """records.json is another's, say of the same text with other pairs: what was kept is not read."""
    token_counts(RecordSource(records, "train"))
    manifest = (records / "records.json").read_text()
    (records / "records.json").unlink()
    (records / "records.json").write_text(manifest.replace('"random_seed": ', '"random_seed": 1'))
    (first,) = (records / "index").glob("token_counts-train-*.npy")
    first.write_bytes(first.read_bytes().replace(b"\x01", b"\x02"))  # what would be read if it were these records'
    assert token_counts(RecordSource(records, "train")).tolist() == counted(records)
    validation = token_counts(RecordSource(records, "validation")).tolist()
    assert validation == counted(records, "validation")
    assert len(list((records / "index").glob("token_counts-*.npy"))) == 3


def test_a_run_masks_by_the_counts_of_its_training_records(records):
    phase = PhaseConfig(steps=3, global_batch_size=64, max_seq_length=32)
    config = Config(phases=(phase,), data=DataConfig(records=str(records), masking="distilbert", masked_lm_prob=0.3))
    config.check()
    (opened,) = open_phases(config.resolved())
    opened.count_tokens()
    tokenizer = load_tokenizer(records / "tokenizer")
    batches = [jax.device_get(batch) for batch in opened.batches(make_mesh(MeshConfig(), jax.devices()[:1]), 0)]
    masked = np.concatenate([batch["masked_lm_ids"][batch["masked_lm_weights"] > 0] for batch in batches])
    counts = np.array(counted(records), float)
    special = [tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id]
    assert not np.isin(masked, special).any()
    shares = np.bincount(masked, minlength=len(counts)) / len(masked)
    counts[special] = 0
    often = counts > np.quantile(counts[counts > 0], 0.9)
    assert shares[often].sum() < 0.8 * counts[often].sum() / counts.sum()  # frequent tokens less than their share


def test_a_directory_that_is_not_writable_is_counted_each_time(records, monkeypatch):
    monkeypatch.setattr("bert_jax.data.token_counts.write_array", read_only)
    for _ in range(2):
        assert token_counts(RecordSource(records, "train")).tolist() == counted(records)
    assert not list((records / "index").glob("token_counts-*.npy"))


def read_only(*_):
    raise OSError(30, "Read-only file system")
