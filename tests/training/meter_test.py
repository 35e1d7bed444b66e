"""The meter with a clock of the test's own: whose time counts, and when an interval's numbers come."""

import dataclasses
import json
import math
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.config import ModelConfig
from bert_jax.objectives.pretraining import PretrainingObjective
from bert_jax.training.meter import Interval, Meter

MEANS = PretrainingObjective(ModelConfig()).means


class OnDevice:
    """A number that is there when it was waited for."""

    def __init__(self, value):
        self._value, self._is_ready = jnp.float32(value), False

    def is_ready(self):
        return self._is_ready

    def block_until_ready(self):
        self._is_ready = True
        return self

    def __array__(self):
        return np.asarray(self.block_until_ready()._value)


def sums(loss, words=4.0, rows=2.0, skipped=0.0):
    numbers = {
        "masked_lm_loss": loss * words,
        "masked_lm_correct": 1.0,
        "masked_lm_weight": words,
        "next_sentence_loss": 0.5 * rows,
        "next_sentence_correct": rows,
        "next_sentence_weight": rows,
        "gradient_norm": loss,
        "skipped": skipped,
    }
    return {name: OnDevice(value) for name, value in numbers.items()}


@pytest.fixture
def clock(monkeypatch):
    """clock.now is what time.perf_counter() says."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(time, "perf_counter", lambda: Clock.now)
    return Clock


@pytest.fixture
def meter(clock):
    meter = Meter(peak_flops=1000.0, means=MEANS)
    meter.set_step_size(tokens_per_step=64, flops_per_step=300)
    return meter


def test_an_interval_comes_with_the_step_after_it(meter):
    assert meter.add(1, sums(1.0), closes=False) is None
    assert meter.add(2, sums(3.0), closes=True) is None
    step, values = meter.add(3, sums(9.0), closes=False)
    assert step == 2
    assert values["masked_lm_loss"] == pytest.approx(2.0)
    assert values["loss"] == pytest.approx(2.5)
    assert values["masked_lm_accuracy"] == pytest.approx(2 / 8)
    assert values["next_sentence_accuracy"] == pytest.approx(1.0)
    assert values["gradient_norm"] == pytest.approx(2.0)
    assert meter.flush() is None  # step 3 closes nothing
    assert meter.flush() is None  # and nothing waits any more


def test_means_weigh_words_and_not_steps(meter):
    meter.add(1, sums(1.0, words=9.0), closes=False)
    meter.add(2, sums(11.0, words=1.0), closes=True)
    assert meter.flush()[1]["masked_lm_loss"] == pytest.approx(2.0)


def test_an_interval_knows_nothing_of_the_one_before(meter):
    meter.add(1, sums(100.0), closes=True)
    meter.add(2, sums(1.0), closes=True)
    assert meter.flush() == (2, pytest.approx(meter_values(loss=1.0)))


def meter_values(loss):
    return {
        "loss": loss + 0.5,
        "masked_lm_loss": loss,
        "masked_lm_accuracy": 0.25,
        "next_sentence_loss": 0.5,
        "next_sentence_accuracy": 1.0,
        "gradient_norm": loss,
        "skipped_steps": 0,
        "flops_per_token": 300 / 64,
    }


def test_rate_is_of_the_steps_between_two_that_are_done(meter, clock):
    """The first step's time has compilation in it and is left out: it is waited for."""
    clock.now += 50.0
    meter.add(1, sums(1.0), closes=False)
    for step in range(2, 5):
        meter.add(step, sums(1.0), closes=step == 4)
        clock.now += 2.0  # a step is done when the next one is dispatched
    values = meter.flush()[1]
    assert values["tokens_per_second"] == pytest.approx(64 / 2.0)
    assert values["mfu"] == pytest.approx(300 / 2.0 / 1000)


def test_a_pause_is_nobodys_time(meter, clock):
    meter.add(1, sums(1.0), closes=False)
    for step in range(2, 4):
        meter.add(step, sums(1.0), closes=False)
        clock.now += 2.0
    meter.flush()
    clock.now += 1000.0  # an evaluation
    meter.resume()
    for step in range(4, 7):
        meter.add(step, sums(1.0), closes=step == 6)
        clock.now += 4.0
    # Steps 2 and 3 took 2 s each, 4 to 6 took 4 s each; 1 is not timed.
    assert meter.flush()[1]["tokens_per_second"] == pytest.approx(64 * 5 / 16)


@pytest.fixture
def resumed(meter, clock):
    """The meter behind a first step and a checkpoint."""
    meter.add(1, sums(1.0), closes=True)
    meter.flush()
    clock.now += 10.0
    meter.resume()
    return meter


def test_two_steps_between_pauses_take_the_time_of_two(resumed, clock):
    """The device has done both before the host has read the first."""
    resumed.add(2, sums(1.0), closes=False)
    clock.now += 6.0
    resumed.add(3, jax.block_until_ready(sums(1.0)), closes=True)
    assert resumed.flush()[1]["tokens_per_second"] == pytest.approx(64 * 2 / 6)


def test_a_step_of_which_is_not_known_when_it_was_done_counts_with_the_next(resumed, clock):
    resumed.add(2, sums(1.0), closes=True)
    clock.now += 6.0
    _, first = resumed.add(3, jax.block_until_ready(sums(1.0)), closes=True)
    assert "tokens_per_second" not in first
    clock.now += 1.0
    assert resumed.flush()[1]["tokens_per_second"] == pytest.approx(64 * 2 / 7)


def test_a_step_that_is_done_before_the_next_is_dispatched_ends_there(resumed, clock):
    resumed.add(2, sums(1.0), closes=True)
    clock.now += 4.0
    resumed.waited(0.0)
    clock.now += 2.0
    _, first = resumed.add(3, jax.block_until_ready(sums(1.0)), closes=True)
    assert first["tokens_per_second"] == pytest.approx(64 / 4)
    assert resumed.flush()[1]["tokens_per_second"] == pytest.approx(64 / 2)


def test_a_new_step_size_counts_from_then_on(meter, clock):
    meter.add(1, sums(1.0), closes=True)
    meter.flush()
    meter.set_step_size(tokens_per_step=512, flops_per_step=5000)
    meter.compiles()
    for step in range(2, 5):
        meter.add(step, sums(1.0), closes=step == 4)
        clock.now += 2.0 if step > 2 else 0.0
    values = meter.flush()[1]
    assert (values["tokens_per_second"], values["mfu"]) == pytest.approx((256.0, 2.5))


def test_steps_of_several_sizes_count_as_what_they_are(meter, clock):
    for step, tokens in enumerate((64, 128, 32), 1):
        meter.set_step_size(tokens_per_step=tokens, flops_per_step=10 * tokens)
        meter.add(step, sums(1.0), closes=step == 3)
        clock.now += 2.0 if step > 1 else 0.0
    values = meter.flush()[1]  # the first step is in no rate: when it began is not known
    assert (values["tokens_per_second"], values["mfu"]) == pytest.approx((40.0, 0.4))


def test_no_rate_before_a_second_step(meter):
    meter.add(1, sums(1.0), closes=True)
    assert "tokens_per_second" not in meter.flush()[1]


def test_a_skipped_step_is_counted_and_in_no_mean(meter):
    for step, loss, skipped in ((1, 1.0, 0.0), (2, math.nan, 1.0), (3, 3.0, 0.0)):
        meter.add(step, sums(loss, skipped=skipped), closes=step == 3)
    values = meter.flush()[1]
    assert (values["masked_lm_loss"], values["gradient_norm"]) == pytest.approx((2.0, 2.0))
    assert values["skipped_steps"] == 1
    meter.add(4, sums(math.nan, skipped=1.0), closes=True)
    values = meter.flush()[1]
    assert values["skipped_steps"] == 1
    assert "loss" not in values


def test_a_run_that_goes_on_logs_the_interval_that_was_open(meter, clock):
    """Each step in one line, also those before the checkpoint; its description is JSON."""
    whole = Meter(peak_flops=1000.0, means=MEANS)
    whole.set_step_size(tokens_per_step=64, flops_per_step=300)
    stopped, steps = meter, [(step, sums(0.1 * step, skipped=float(step == 2))) for step in range(1, 8)]
    for step, values in steps[:4]:
        assert whole.add(step, values, closes=False) is stopped.add(step, values, closes=False) is None
        clock.now += 2.0 if step > 1 else 0.0
    whole.flush(), stopped.flush()
    left = json.loads(json.dumps(dataclasses.asdict(stopped.interval)))
    goes_on = Meter(peak_flops=1000.0, means=MEANS, interval=Interval(**left))
    goes_on.set_step_size(tokens_per_step=64, flops_per_step=300)
    whole.compiles()
    for step, values in steps[4:]:
        whole.add(step, values, closes=step == 7), goes_on.add(step, values, closes=step == 7)
        clock.now += 3.0 if step > 5 else 0.0
    interval = goes_on.flush()
    assert interval == whole.flush()
    assert interval[1]["skipped_steps"] == 1
    assert interval[1]["gradient_norm"] == pytest.approx(0.1 * (1 + 3 + 4 + 5 + 6 + 7) / 6)
    assert interval[1]["tokens_per_second"] == pytest.approx(64 * 5 / (3 * 2.0 + 2 * 3.0))
    assert goes_on.interval == Interval()


def test_each_step_is_shown_with_its_own_numbers():
    shown = []
    meter = Meter(1.0, MEANS, lambda step, values: shown.append((step, values["loss"], values["skipped"])))
    meter.set_step_size(1, 1)
    meter.add(1, sums(1.0), closes=False)
    assert shown == []
    meter.add(2, sums(2.0), closes=False)
    assert shown == [(1, 1.5, 0.0)]
    meter.flush()
    assert shown == [(1, 1.5, 0.0), (2, 2.5, 0.0)]


def test_the_fraction_that_the_devices_waited_for_input(meter, clock):
    for step in range(1, 4):
        meter.add(step, sums(1.0), closes=step == 3)
        clock.now += 2.0 if step > 1 else 0.0
        meter.waited(0.5)
    assert meter.flush()[1]["input_wait_share"] == pytest.approx(1.5 / 4.0)


def test_idle_is_when_all_is_done_that_was_given(meter):
    assert meter.idle()
    never = jax.jit(lambda array: jax.lax.fori_loop(0, 300, lambda _, a: jnp.tanh(a @ a), array).sum())
    array = jnp.ones((400, 400))
    never(array).block_until_ready()
    meter.add(1, sums(1.0), closes=False)  # which is waited for
    given = sums(1.0) | {"gradient_norm": never(array)}
    meter.add(2, given, closes=False)
    assert not meter.idle()
    jax.block_until_ready(given)
    assert meter.idle()
