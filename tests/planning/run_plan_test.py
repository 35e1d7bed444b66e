"""Sizes of a run that is planned, from flags, records and the paper."""

import dataclasses

import pytest

from bert_jax.config import Config, DataConfig, ModelConfig, PhaseConfig
from bert_jax.errors import UserError
from bert_jax.planning.run_plan import known_sizes


@pytest.fixture
def config(chain):
    phases = tuple(PhaseConfig(steps=1, global_batch_size=4, max_seq_length=length) for length in (32, 64))
    model = ModelConfig(max_position_embeddings=64)
    return Config(model=model, phases=phases, data=DataConfig(records=str(chain.records(32))))


def test_records_of_another_length_say_nothing_of_a_phase(config, caplog):
    config, predictions = known_sizes(config, 0, 0)
    assert config.model.vocab_size == 800
    assert predictions == [6, 10]
    assert "holds sequences of 32 tokens and the phase asks for max_seq_length=64" in caplog.text


@pytest.mark.parametrize(("sizes", "flag"), [((800, 0), "--vocab_size=800"), ((0, 6), "--max_predictions_per_seq=6")])
def test_flags_that_packing_does_not_look_at_are_refused(config, sizes, flag):
    packed = dataclasses.replace(config, data=dataclasses.replace(config.data, packing=True))
    with pytest.raises(UserError, match=f"^{flag} is not for packing"):
        known_sizes(packed, *sizes)
