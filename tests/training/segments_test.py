"""Segments for which the model has no row, and pairs for which it has no head, or none for its head, are refused before
a run or with their batch; what a run calls its pairs.
"""

import dataclasses

import jax
import numpy as np
import pytest

from bert_jax.config import Config, MeshConfig, PhaseConfig
from bert_jax.data.manifest import Manifest, Shard, Split, write_manifest
from bert_jax.data.schema import RecordFormat
from bert_jax.data.tfrecord import shard_name, write_shard
from bert_jax.errors import UserError
from bert_jax.parallel.mesh import make_mesh
from bert_jax.training.open_phases import _check_pairs, open_phases, with_records
from bert_jax.training.phase_input import held_out_batches
from bert_jax.training.pretraining import pretraining_program


def write_records(directory, make_batch, paired, **options):
    """100 records in each split, of which those in `paired` have a second segment."""
    directory.mkdir(exist_ok=True)
    batch, record_format = make_batch(100), RecordFormat(16, 4)
    batch["segment_ids"] *= np.isin(np.arange(100), paired)[:, None]
    splits = {}
    for split in ("train", "validation"):
        path = directory / shard_name(split, 0, 1)
        with write_shard(path) as writer:
            for row in range(100):
                writer.write(record_format.serialize({name: array[row] for name, array in batch.items()}))
        splits[split] = Split(100, [Shard(path.name, 100, path.stat().st_size)])
    write_manifest(directory, Manifest(16, 4, 101, "0" * 16, "wordpiece", splits, options, [], {}, "0"))


def config_of(directory, model_config):
    config = Config(model=dataclasses.replace(model_config, type_vocab_size=1))
    config.phases = (PhaseConfig(steps=20, global_batch_size=8, max_seq_length=16),)
    config.data.records = str(directory)
    return config


@pytest.mark.parametrize(
    ("pairs", "has_head", "names"),
    [
        (None, True, ["next_sentence_loss", "next_sentence_accuracy"]),
        ("sop", True, ["sentence_order_loss", "sentence_order_accuracy"]),
        ("aligned", True, ["alignment_loss", "alignment_accuracy"]),
        ("sop", False, []),
        ("none", False, []),
    ],
)
def test_metrics_are_called_after_the_records_pairs(tmp_path, model_config, make_batch, pairs, has_head, names):
    write_records(tmp_path, make_batch, [], **({"pairs": pairs} if pairs else {}))
    config = config_of(tmp_path, dataclasses.replace(model_config, next_sentence=has_head))
    config.mesh = MeshConfig(1, 1, 1)
    config = with_records(config, open_phases(config))
    assert config.data.pairs == (pairs or "nsp")
    program = pretraining_program(config, make_mesh(config.mesh, jax.devices()[:1]))
    assert [metric.name for metric in program.objective.metrics][2:] == names


def test_pairs_that_the_records_do_not_have_are_refused(tmp_path, model_config, make_batch):
    write_records(tmp_path, make_batch, [], pairs="nsp")
    config = config_of(tmp_path, model_config)
    config.data.pairs = "sop"
    with pytest.raises(UserError, match=r"data\.pairs=sop: the records in .* were built with --pairs=nsp"):
        with_records(config, open_phases(config))


def test_records_without_pairs_or_of_two_kinds_are_refused(tmp_path, model_config, make_batch):
    write_records(tmp_path / "16", make_batch, [], pairs="none")
    config = config_of(tmp_path / "16", model_config)
    with pytest.raises(UserError, match=r"16 has no pairs of sentences.*next_sentence=false, or records.*--pairs=nsp"):
        open_phases(config)
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, next_sentence=False))
    opened = open_phases(config)
    other = dataclasses.replace(opened[0], manifest=dataclasses.replace(opened[0].manifest, options={"pairs": "sop"}))
    with pytest.raises(
        UserError, match=r"with --pairs=sop and .*16 with --pairs=none; build the records of all phases"
    ):
        _check_pairs(config.model, [*opened, other])


def test_records_of_single_sentences_go_with_one_segment(tmp_path, model_config, make_batch):
    write_records(tmp_path, make_batch, [])
    config = config_of(tmp_path, model_config)
    mesh = make_mesh(MeshConfig(1, 1, 1), jax.devices()[:1])
    (opened,) = open_phases(config)
    assert len(list(opened.batches(mesh, 0))) == 20
    assert len(list(held_out_batches(opened.validation, 50, 0, 1, mesh))) == 2


def test_a_held_out_batch_has_rows_that_divide_over_the_mesh(tmp_path, model_config, make_batch):
    write_records(tmp_path, make_batch, [])
    (opened,) = open_phases(config_of(tmp_path, model_config))
    mesh = make_mesh(MeshConfig(), jax.devices()[:8])
    found = list(held_out_batches(opened.validation, 50, 0, 1, mesh, chunks=2))
    assert [len(batch["input_ids"]) for batch in found] == [64, 64]
    assert sum(int(batch["input_mask"].any(axis=1).sum()) for batch in found) == len(opened.validation)


def test_a_pair_among_them_is_refused_with_its_batch(tmp_path, model_config, make_batch):
    write_records(tmp_path, make_batch, [7])  # not one of those that are looked at before
    config = config_of(tmp_path, model_config)
    mesh = make_mesh(MeshConfig(1, 1, 1), jax.devices()[:1])
    (opened,) = open_phases(config)
    for batches in (
        opened.batches(mesh, 0),
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
