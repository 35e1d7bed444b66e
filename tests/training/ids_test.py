"""Ids for which the model has no row are refused, before a run where all records have them, else with their batch."""

import dataclasses
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from bert_jax.config import Config, MeshConfig, PhaseConfig
from bert_jax.data.manifest import Manifest, Shard, Split, write_manifest
from bert_jax.data.schema import RecordFormat
from bert_jax.data.tfrecord import shard_name, write_shard
from bert_jax.errors import UserError
from bert_jax.parallel.mesh import make_mesh
from bert_jax.training.ids import check_ids
from bert_jax.training.inputs import held_out_batches, open_phases, train_batches

SOURCE = SimpleNamespace(directory="DIRECTORY", manifest=SimpleNamespace(vocab_size=101))


def test_ids_of_the_tables_rows_pass(make_batch):
    check_ids(make_batch(8), SOURCE, 2)
    check_ids(make_batch(8) | {"segment_ids": np.zeros((8, 16), np.int32)}, SOURCE, 1)


@pytest.mark.parametrize(
    ("name", "id_", "remedy"),
    [
        ("input_ids", 101, "the vocabulary has 101 words"),
        ("input_ids", -3, "the vocabulary has 101 words"),
        ("masked_lm_ids", 101, "the vocabulary has 101 words"),
        ("masked_lm_ids", -100, "the vocabulary has 101 words"),
        ("segment_ids", 2, "--config.model.type_vocab_size=2 has no row for it"),
        ("masked_lm_positions", 16, "its sequences have 16 tokens"),
        ("next_sentence_labels", 2, "a label is 0 or 1"),
    ],
)
def test_an_id_without_a_row_is_named_with_what_to_do(make_batch, name, id_, remedy):
    batch = make_batch(8)
    wrong = batch[name].copy()
    wrong[5, 0] = id_
    with pytest.raises(UserError, match=f"DIRECTORY has records with {id_} among their {name}, and {remedy}"):
        check_ids(batch | {name: wrong}, SOURCE, 2)


def write_records(directory, make_batch, paired):
    """100 records in each split, of which those in `paired` have a second segment."""
    batch, record_format = make_batch(100), RecordFormat(16, 4)
    batch["segment_ids"] *= np.isin(np.arange(100), paired)[:, None]
    splits = {}
    for split in ("train", "validation"):
        path = directory / shard_name(split, 0, 1)
        with write_shard(path) as writer:
            for row in range(100):
                writer.write(record_format.serialize({name: array[row] for name, array in batch.items()}))
        splits[split] = Split(100, [Shard(path.name, 100, path.stat().st_size)])
    write_manifest(directory, Manifest(16, 4, 101, "0" * 16, "wordpiece", splits, {}, [], {}, "0"))


def config_of(directory, model_config):
    config = Config(model=dataclasses.replace(model_config, type_vocab_size=1))
    config.phases = (PhaseConfig(steps=20, global_batch_size=8, max_seq_length=16),)
    config.data.records = str(directory)
    return config


def test_records_of_single_sentences_go_with_one_segment(tmp_path, model_config, make_batch):
    write_records(tmp_path, make_batch, [])
    config = config_of(tmp_path, model_config)
    mesh = make_mesh(MeshConfig(1, 1, 1), jax.devices()[:1])
    (opened,) = open_phases(config)
    assert len(list(train_batches(opened, config, mesh, 0))) == 20
    assert len(list(held_out_batches(opened.validation, 50, 0, 1, mesh))) == 2


def test_a_pair_among_them_is_refused_with_its_batch(tmp_path, model_config, make_batch):
    write_records(tmp_path, make_batch, [7])  # not one of those that are looked at before
    config = config_of(tmp_path, model_config)
    mesh = make_mesh(MeshConfig(1, 1, 1), jax.devices()[:1])
    (opened,) = open_phases(config)
    for batches in (
        train_batches(opened, config, mesh, 0),
        held_out_batches(opened.validation, 50, 0, 1, mesh),
    ):
        with pytest.raises(UserError, match=r"records with 1 among their segment_ids.*type_vocab_size=1"):
            list(batches)


def test_pairs_are_refused_before_the_run(chain, tmp_path):
    done = chain.pretrain(tmp_path / "train", "--config.model.type_vocab_size=1", check=False)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"error: {chain.records(32)} has records with 1 among their segment_ids, and --config.model")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "train").exists()
