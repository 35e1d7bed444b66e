"""What a run may change when it resumes, against what its steps so far were: size, length and rate of each."""

import dataclasses

import numpy as np
import pytest

from bert_jax.config import Config, OptimizerConfig, PhaseConfig
from bert_jax.config.file import differences
from bert_jax.config.schedule_changes import decays_after, is_length, lasting_differences, why_not
from bert_jax.errors import UserError
from bert_jax.training.optimizer import learning_rate_schedule

MOST = 40


def draw_config(draw):
    """Up to three short phases, some with a rate of their own, often alike in two draws."""
    rates = (0.0, 0.0, 1e-3)
    phases = tuple(
        PhaseConfig(int(steps), 8, 16 * (number + 1), rate, int(rate > 0))
        for number, (steps, rate) in enumerate(zip(draw.choice([6, 9, 12], 3), draw.choice(rates, 3), strict=True))
    )
    optimizer = OptimizerConfig(warmup_steps=3, decay_steps=int(draw.choice([0, 2, 2, 4])))
    optimizer.decay_from_peak = bool(draw.random() < 0.5)
    return Config(phases=phases[: draw.integers(1, 4)], optimizer=optimizer)


def each_step(config):
    """(settings of its phase, rate) of each step; the rates go on for ever."""
    rates = np.asarray(learning_rate_schedule(config.optimizer, config.phases)(np.arange(MOST)))
    lengths = [phase.max_seq_length for phase in config.phases for _ in range(phase.steps)]
    return list(zip(lengths + [0] * MOST, rates.tolist(), strict=False))


def test_a_run_may_go_on_where_its_steps_were_the_same():
    draw, found = np.random.default_rng(0), {True: 0, False: 0}
    for _ in range(150):
        old, new = draw_config(draw), draw_config(draw)
        new.optimizer.decay_from_peak = old.optimizer.decay_from_peak
        ours, theirs = each_step(old), each_step(new)
        for step in range(1, old.total_steps):
            may = not (why_not(old, new, step) or lasting_differences(old, new, step))
            found[may] += 1
            if may:
                assert ours[:step] == theirs[:step]
            elif old != new:  # the step in which the decay begins still has the peak's rate
                assert ours[: step + 1] != theirs[: step + 1] or step > new.total_steps
            else:
                pytest.fail("a run may always resume as it is")
    assert min(found.values()) > 300


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"steps": 100}, ""),
        ({"steps": 100, "decay": 30}, ""),
        ({"decay": 20}, ""),
        ({"decay": 21}, "learning rate would have been falling since step 19"),
        ({"steps": 21, "decay": 1}, ""),
        ({"steps": 19, "decay": 1}, "last step is 20 already"),
        ({"decay": 0}, "learning rate would have been falling since step 2"),
    ],
)
def test_why_not(changes, why):
    def config(steps=40, decay=10):
        return Config(phases=(PhaseConfig(steps),), optimizer=OptimizerConfig(warmup_steps=2, decay_steps=decay))

    assert why_not(config(), config(**changes), 20) == why
    assert why_not(config(), config(), 40) == ""
    if changes.get("steps") == 100:
        assert why_not(config(), config(**changes), 30) == ""
        assert why_not(config(), config(**changes), 31) == "learning rate has been falling since step 30"


def test_phases_that_have_begun_stay():
    old = Config(phases=(PhaseConfig(10), PhaseConfig(10, 8, 512)), optimizer=OptimizerConfig(0.1, 2))
    new = dataclasses.replace(old, phases=(PhaseConfig(10), PhaseConfig(20, 16, 512)), init_from="elsewhere")
    new.optimizer = OptimizerConfig(0.1, 2, decay_steps=5)
    assert lasting_differences(old, new, 10) == []
    split = dataclasses.replace(old, phases=(PhaseConfig(10, accumulation_steps=4), old.phases[1]))
    assert why_not(old, split, 11) == ""
    assert lasting_differences(old, split, 11) == []
    assert lasting_differences(old, new, 11) == ["phases.1.global_batch_size=8, not 16"]
    assert [is_length(each) for each in differences(old, new)] == [True, False, True, False]
    old.optimizer = new.optimizer
    moved = dataclasses.replace(old, phases=(PhaseConfig(11), *old.phases[1:]))
    assert why_not(old, moved, 5) == ""
    assert why_not(old, moved, 11) == "11 steps so far have other phases"


def test_where_decays_begin():
    phases = PhaseConfig(100), PhaseConfig(30, learning_rate=4e-3, warmup_steps=5), PhaseConfig(20)
    assert decays_after(Config(phases=phases)) == ()
    assert decays_after(Config(phases=phases, optimizer=OptimizerConfig(decay_steps=10))) == (90, 140)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"branch_from": "a", "init_from": "b"}, "--config.branch_from=a cannot be used; it continues a run, and"),
        ({"init_moments": True, "init_from": "b", "muon": True}, "--config.init_moments=True cannot be used; it is ab"),
    ],
)
def test_first_states_that_do_not_go_together(changes, words):
    config = Config(optimizer=OptimizerConfig(muon=changes.pop("muon", False)))
    with pytest.raises(UserError, match=words):
        dataclasses.replace(config, **changes).check()
