"""What may differ between two starts in one workdir."""

import dataclasses

import pytest

from bert_jax.config import Config, DataConfig, FineTuningConfig, PhaseConfig, TaskConfig, TrainConfig
from bert_jax.errors import UserError
from bert_jax.workdir.run_directory import check_same_run, claim, with_rows_of
from tests.fine_tuned_workdirs import TOKENIZER

PHASE = PhaseConfig(steps=10, global_batch_size=8, max_seq_length=32)


def changes(workdir, config):
    return check_same_run(workdir, config, TOKENIZER.fingerprint)


def test_accumulation_may_change_in_pretraining_alone(tmp_path):
    two = TrainConfig(accumulation_steps=2)
    claim(tmp_path / "pretraining", Config(phases=(PHASE,)), TOKENIZER)
    assert changes(tmp_path / "pretraining", Config(phases=(PHASE,), train=two)) == []
    tuned = FineTuningConfig(task=TaskConfig(kind="similarity", train="a.tsv"))
    claim(tmp_path / "tuning", tuned, TOKENIZER)
    train = dataclasses.replace(tuned.train, accumulation_steps=2)
    with pytest.raises(UserError, match=r"was started with train\.accumulation_steps=1, not 2"):
        changes(tmp_path / "tuning", dataclasses.replace(tuned, train=train))


def test_other_records_may_fill_other_rows(tmp_path):
    def packed(rows, **data):
        return Config(
            phases=(dataclasses.replace(PHASE, packed_rows=rows),), data=DataConfig(records="r", packing=True, **data)
        )

    claim(tmp_path / "run", packed(6), TOKENIZER)
    assert changes(tmp_path / "run", packed(4, allow_other_records=True)) == []
    with pytest.raises(UserError, match=r"was started with phases\.0\.packed_rows=6, not 4"):
        changes(tmp_path / "run", packed(4))


def test_the_rows_that_a_run_has_chosen_stay(tmp_path):
    def packed(rows, accumulation=1, **data):
        phases = (dataclasses.replace(PHASE, packed_rows=rows), PHASE)
        train = TrainConfig(accumulation_steps=accumulation)
        return Config(phases=phases, data=DataConfig(records="r", packing=True, **data), train=train)

    claim(tmp_path, packed(6), TOKENIZER)
    assert [phase.packed_rows for phase in with_rows_of(tmp_path, packed(0, accumulation=2)).phases] == [6, 0]
    assert with_rows_of(tmp_path, packed(4)) == packed(4)
    assert with_rows_of(tmp_path, packed(0, allow_other_records=True)) == packed(0, allow_other_records=True)
    assert with_rows_of(tmp_path / "new", packed(0)) == packed(0)
