"""The records of a run's phases: those of one directory continue in their order from phase to phase."""

from collections import Counter

import pytest

from bert_jax.config import Config, DataConfig, MeshConfig, ModelConfig, PhaseConfig
from bert_jax.parallel.mesh import make_mesh
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.training import pretraining
from bert_jax.training.description import Description
from bert_jax.training.open_phases import open_phases

MODEL = ModelConfig(hidden_size=32, num_attention_heads=2, num_hidden_layers=1, max_position_embeddings=64)


def opened(chain, sizes, **data):
    """Phases of (steps, rows a batch, tokens)."""
    records = str(chain.directory / "records-{max_seq_length}")
    phases = tuple(
        PhaseConfig(steps=steps, global_batch_size=rows, max_seq_length=length) for steps, rows, length in sizes
    )
    return open_phases(Config(model=MODEL, phases=phases, data=DataConfig(records=records, **data)))


def numbers(phase):
    return [number for step in range(phase.first_step, phase.last_step) for number in phase.record_numbers(step + 1)]


def test_phases_of_the_same_records_read_none_twice(chain):
    number = len(opened(chain, [(1, 4, 32)])[0].train)
    steps = number // 12
    first, other, second = opened(chain, [(steps, 4, 32), (5, 4, 64), (steps, 8, 32)])
    assert len(set(numbers(first) + numbers(second))) == 12 * steps > 0.9 * number
    assert numbers(other) == numbers(opened(chain, [(5, 4, 64)])[0])
    (whole,) = opened(chain, [(3 * steps, 4, 32)])
    assert numbers(first) + numbers(second) == numbers(whole)


def test_packed_ones_too(chain):
    (whole,) = opened(chain, [(64, 64, 32)], packing=True)
    first, second = opened(chain, [(64, 64, 32), (64, 64, 32)], packing=True)
    assert first.packing == second.packing == whole.packing
    assert numbers(first) == numbers(whole)
    counts = Counter(numbers(first) + numbers(second))
    assert max(counts.values()) - min(counts.values()) <= 2  # one after the other, whole epochs but for the last


@pytest.mark.parametrize("packing", [False, True])
def test_the_batches_are_of_those_records(chain, packing):
    phases = opened(chain, [(2, 8, 32), (2, 8, 32)], packing=packing)
    mesh = make_mesh(MeshConfig())
    batches = [batch for phase in phases for batch in phase.batches(mesh, phase.first_step)]
    assert len(batches) == 4
    for step, batch in enumerate(batches):
        phase = phases[step // 2]
        ids = phase.train.fetch(phase.record_numbers(step + 1))["masked_lm_ids"]
        assert Counter(ids[ids > 0].tolist()) == Counter(batch["masked_lm_ids"][batch["masked_lm_ids"] > 0].tolist())


def test_a_phase_that_an_earlier_version_began_goes_on_as_it_was_begun(chain):
    phases = opened(chain, [(2, 8, 32), (4, 8, 32)])
    assert [phase.first_position for phase in phases] == [0, 16]
    assert [phase.first_position for phase in Description(step=3).as_begun(phases)] == [0, 0]
    for step in (0, 1, 2, 6):  # the second phase is not begun, or done
        assert Description(step=step).as_begun(phases) == phases
    assert Description(step=3, first_position=16).as_begun(phases) == phases


def test_a_run_loads_a_tokenizer_once(chain, tmp_path, monkeypatch):
    """For masks of all phases and of evaluations, for the workdir and for the samples at the end."""
    loaded = []

    def load(directory):
        loaded.append(directory)
        return load_tokenizer(directory)

    records = chain.records(32)
    phase = PhaseConfig(steps=2, global_batch_size=8, max_seq_length=32)
    data = DataConfig(records=str(records), masking="roberta")
    monkeypatch.setattr(pretraining, "load_tokenizer", load)
    monkeypatch.setattr(pretraining, "train", lambda run, clock, report: None)
    pretraining.pretrain(Config(model=MODEL, phases=(phase, phase), data=data), tmp_path / "run")
    assert [str(directory) for directory in loaded] == [f"{records}/tokenizer"]
    assert (tmp_path / "run" / "tokenizer" / "vocabulary.json").exists()
