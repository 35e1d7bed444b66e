"""Skipped steps in their file, the bound on them, and which losses stand out; then real runs on poisoned records."""

import json
import logging
import math
import os
import random
import shutil
import struct

import google_crc32c
import pytest

from bert_jax.data.batches import record_ids
from bert_jax.errors import UserError
from bert_jax.training.loss_spikes import LossSpikes
from bert_jax.training.skipped_steps import SkippedSteps
from tests.chain import Chain
from tests.verbs import Verbs

BAD = {"skipped": 1.0, "loss": math.nan, "gradient_norm": math.inf}
GOOD = {"skipped": 0.0, "loss": 2.0, "gradient_norm": 1.0}


def read(workdir):
    return [json.loads(line) for line in (workdir / "skipped.jsonl").read_text().splitlines()]


def test_a_line_names_the_step_and_its_records(tmp_path, caplog):
    caplog.set_level(logging.WARNING, logger="absl")
    skipped = SkippedSteps(tmp_path, 0, 3, writes=True)
    skipped.record(1, 0, GOOD, lambda: pytest.fail("nobody needs these"))
    assert not (tmp_path / "skipped.jsonl").exists()
    skipped.record(2, 0, BAD, lambda: [5, 7])
    assert read(tmp_path) == [{"step": 2, "phase": 0, "records": [5, 7], "loss": "nan", "gradient_norm": "inf"}]
    assert "step 2 is skipped" in caplog.text


def test_more_than_allowed_in_a_row_stop_the_run_and_say_where_to_look(tmp_path):
    skipped = SkippedSteps(tmp_path, 0, 2, writes=True)
    for step in (1, 2, 4, 5):
        skipped.record(step, 0, BAD, lambda: [0])
        if step == 2:
            skipped.record(3, 0, GOOD, lambda: [0])
    skipped.stop_if_too_many()
    skipped.record(6, 0, BAD, lambda: [0])
    with pytest.raises(UserError) as error:
        skipped.stop_if_too_many()
    assert "3 steps in a row, 4 to 6" in str(error.value)
    for word in (f"{tmp_path}/checkpoints", f"{tmp_path}/skipped.jsonl", "--config.train.check_nans"):
        assert word in str(error.value)
    assert "\n" not in str(error.value)


def test_a_run_that_goes_on_logs_a_step_once_and_another_process_writes_nothing(tmp_path):
    first = SkippedSteps(tmp_path, 0, 9, writes=True)
    for step in (3, 8):
        first.record(step, 0, BAD, lambda: [1])
    again = SkippedSteps(tmp_path, 5, 9, writes=True)
    again.record(8, 0, BAD, lambda: [2])
    assert [(line["step"], line["records"]) for line in read(tmp_path)] == [(3, [1]), (8, [2])]
    SkippedSteps(tmp_path, 0, 9, writes=False).record(1, 0, BAD, lambda: [3])
    assert len(read(tmp_path)) == 2


def test_steps_in_a_row_are_counted_over_a_stop(tmp_path):
    first = SkippedSteps(tmp_path, 0, 3, writes=True)
    for step, values in enumerate([BAD, GOOD, BAD, BAD], 1):
        first.record(step, 0, values, lambda: [0])
    again = SkippedSteps(tmp_path, 4, 3, writes=True)
    again.record(5, 0, BAD, lambda: [0])
    again.stop_if_too_many()
    again.record(6, 0, BAD, lambda: [0])
    with pytest.raises(UserError, match="4 steps in a row, 3 to 6"):
        again.stop_if_too_many()


@pytest.mark.parametrize("writes", [True, False], ids=["first process", "another"])
def test_a_run_of_skipped_steps_alone_is_no_trained_run(tmp_path, writes):
    first = SkippedSteps(tmp_path, 0, 9, writes=True)
    for step in (1, 2):
        first.record(step, 0, BAD, lambda: [0])
    again = SkippedSteps(tmp_path, 2, 9, writes=writes)
    again.record(3, 0, BAD, lambda: [0])
    again.stop_if_all(0, 4)
    with pytest.raises(UserError, match=r"none of the 3 steps.*skipped\.jsonl.*check_nans"):
        again.stop_if_all(0, 3)


def test_of_a_branch_the_steps_of_its_parent_do_not_count(tmp_path):
    branch = SkippedSteps(tmp_path, 1000, 9, writes=True)
    for step in (1001, 1002):
        branch.record(step, 0, BAD, lambda: [0])
    with pytest.raises(UserError, match="none of the 2 steps"):
        branch.stop_if_all(1000, 1002)


@pytest.mark.parametrize("resumed", [20, 15])
def test_after_the_log_of_starts_was_moved_away_only_steps_since_then_count(tmp_path, resumed):
    """A finished run begins anew at its end, another one at its checkpoint, behind as many skipped steps."""
    first = SkippedSteps(tmp_path, 0, 9, writes=True)
    for step in range(1, 6):
        first.record(step, 0, BAD, lambda: [0])
    again = SkippedSteps(tmp_path, resumed, 9, writes=True)
    again.stop_if_all(resumed, 20)
    if resumed == 15:
        for step in range(16, 21):
            again.record(step, 0, BAD, lambda: [0])
        with pytest.raises(UserError, match="none of the 5 steps"):
            again.stop_if_all(15, 20)


def test_a_run_that_never_skipped_a_step_may_begin_at_its_end(tmp_path):
    SkippedSteps(tmp_path, 20, 9, writes=True).stop_if_all(20, 20)


def seen(losses, threshold=10.0):
    spikes = LossSpikes(threshold)
    return [step for step, loss in enumerate(losses) if spikes.record(step, loss)]


def noisy(steps, seed=0):
    """A loss that falls, with noise."""
    draw = random.Random(seed)
    return [3.0 + 6.0 * math.exp(-step / 50) + draw.gauss(0.0, 0.05) for step in range(steps)]


def test_a_spike_stands_out_and_noise_does_not(caplog):
    caplog.set_level(logging.WARNING, logger="absl")
    losses = noisy(600)
    assert seen(losses) == []
    for step in (300, 301, 450):
        losses[step] = 8.0
    assert seen(losses) == [300, 301, 450]
    assert seen(losses, threshold=0) == []
    logged = [record.getMessage() for record in caplog.records]
    assert [line.split(":")[0] for line in logged] == ["loss spike at step 300", "loss spike at step 450"]


def test_a_run_that_goes_on_holds_losses_against_those_before(tmp_path):
    losses = noisy(200)
    before = LossSpikes(10.0)
    for step, loss in enumerate(losses):
        before.record(step, loss)
    assert LossSpikes(10.0, list(before.losses)).record(200, 8.0)
    assert not LossSpikes(10.0).record(200, 8.0)


def test_no_spike_before_there_is_anything_to_hold_it_against():
    assert seen([5.0] * 10 + [50.0]) == []


def test_losses_that_are_all_alike_make_no_spike_of_rounding():
    assert seen([2.0] * 100 + [2.001, 2.5]) == [101]


def masked_crc(data):
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def poison(records, numbers):
    """The first masked token's weight of these records becomes NaN, with a CRC that agrees."""
    (shard,) = records.glob("bert-train.tfrecord-*")
    data, offset, number = bytearray(shard.read_bytes()), 0, 0
    while offset < len(data):
        (size,) = struct.unpack_from("<Q", data, offset)
        begin, end = offset + 12, offset + 12 + size
        if number in numbers:
            name = data.index(b"masked_lm_weights", begin, end)
            weight = data.index(struct.pack("<f", 1.0), name, end)
            data[weight : weight + 4] = struct.pack("<f", math.nan)
            data[end : end + 4] = masked_crc(bytes(data[begin:end]))
        offset, number = end + 4, number + 1
    shard.write_bytes(data)
    return number


SKIPPED = (5, 11)


@pytest.fixture(scope="module")
def unchecked(chain, tmp_path_factory):
    """The chain in processes that take records as they are: else a weight that is NaN is refused when read."""
    directory = tmp_path_factory.mktemp("unchecked")
    (directory / "sitecustomize.py").write_text("from bert_jax.data import source\n\nsource.faults = lambda *_: {}\n")
    paths = {"PYTHONPATH": os.pathsep.join([str(directory), os.environ["PYTHONPATH"]])}
    those = Verbs(environment=chain.environment | paths)
    yield Chain(chain.directory, those)
    those.close()


@pytest.fixture(scope="module")
def poisoned(chain, tmp_path_factory):
    """Records of which two are poison, and which: one that the fifth step reads, one that the eleventh does."""
    records = tmp_path_factory.mktemp("poisoned") / "records-32"
    shutil.copytree(chain.records(32), records)
    num_records = poison(records, ())
    numbers = [int(record_ids(step - 1, [7], 16, num_records, 0)[0]) for step in SKIPPED]
    poison(records, numbers)
    return records, numbers


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_poisoned_record_costs_its_steps_and_no_weight(poisoned, unchecked, tmp_path):
    records, numbers = poisoned
    flags = [f"--config.data.records={records}"]
    done = unchecked.pretrain(tmp_path, *flags)
    logged = read(tmp_path)
    assert [line["step"] for line in logged] == list(SKIPPED)
    for line, number in zip(logged, numbers, strict=True):
        assert line["loss"] == "nan"
        assert line["records"][7] == number
        assert len(line["records"]) == 16
        assert f"step {line['step']} is skipped" in done.stderr
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    train = [line for line in lines if line["split"] == "train"]
    assert sum(line["skipped_steps"] for line in train) == len(SKIPPED)
    assert all(line["loss"] > 0 for line in train)
    assert lines[-1]["masked_lm_loss"] < 7

    flags.append("--config.train.max_skipped_steps=0")
    stopped = unchecked.pretrain(tmp_path / "strict", *flags, check=False)
    assert stopped.returncode == 1
    assert stopped.stderr.splitlines()[-1].startswith("error: 1 steps in a row, 5 to 5, had no finite loss or gradient")
    assert "Traceback" not in stopped.stderr

    flags[-1] = "--config.train.check_nans"
    checked = unchecked.pretrain(tmp_path / "checked", *flags, check=False)
    assert checked.returncode == 1
    assert "step 5 gave no finite loss or gradient; the first to go bad: the loss: " in checked.stderr


@pytest.mark.slow
def test_a_run_of_which_no_step_counts_fails_in_every_start(chain, unchecked, tmp_path):
    records = tmp_path / "records-32"
    shutil.copytree(chain.records(32), records)
    poison(records, range(poison(records, ())))
    flags = [f"--config.data.records={records}", "--config.phases[0].steps=8"]
    for _ in range(2):
        done = unchecked.pretrain(tmp_path / "train", *flags, check=False)
        assert done.returncode == 1
        last = done.stderr.splitlines()[-1]
        assert last.startswith("error: none of the 8 steps had a finite loss and gradient: all were skipped")
        assert str(tmp_path / "train" / "skipped.jsonl") in last
        assert "trained to step" not in done.stderr
        assert "Traceback" not in done.stderr
