"""Where the time went, by hand: kinds of time, steps that a kill made the run repeat, the time between two starts."""

import pytest

from bert_jax.errors import UserError
from bert_jax.workdir.goodput import Clock, Start, describe_goodput, goodput, read_starts


class Time:
    now = 1000.0

    def __call__(self):
        return self.now


def test_every_moment_belongs_to_the_innermost_kind(tmp_path):
    now = Time()
    clock = Clock(tmp_path, now)
    now.now += 5  # start
    clock.turn("steps")
    now.now += 10
    with clock.spent("evaluation"):
        now.now += 3
        with clock.spent("checkpoints"):
            now.now += 2
        now.now += 1
    now.now += 20
    clock.move(4.0, "waiting for input", "steps")
    clock.write(7, always=True)
    (start,) = read_starts(tmp_path)
    assert start.seconds == {"start": 5, "steps": 26, "evaluation": 4, "checkpoints": 2, "waiting for input": 4}
    assert (start.started, start.ended, start.to_step) == (1000.0, 1041.0, 7)


def test_it_is_written_now_and_then_and_a_later_start_adds_a_line(tmp_path):
    now = Time()
    clock = Clock(tmp_path, now)
    clock.turn("steps")
    now.now += 1
    clock.write(1)
    assert read_starts(tmp_path) == []  # too soon
    now.now += 60
    clock.write(2)
    assert [start.to_step for start in read_starts(tmp_path)] == [2]
    later = Clock(tmp_path, now)
    later.from_step(1)
    later.write(3, always=True)
    assert [(start.from_step, start.to_step) for start in read_starts(tmp_path)] == [(0, 2), (1, 3)]


def test_another_process_of_the_job_writes_nothing(tmp_path):
    Clock(None).write(3, always=True)
    assert list(tmp_path.iterdir()) == []


def test_repeated_steps_do_not_count():
    killed = Start(0.0, 100.0, from_step=0, to_step=50, seconds={"start": 10.0, "steps": 90.0})
    resumed = Start(400.0, 450.0, from_step=40, to_step=60, seconds={"start": 10.0, "steps": 36.0, "evaluation": 4.0})
    found = goodput([killed, resumed])
    assert (found.running, found.between, found.starts, found.lost_steps) == (150.0, 300.0, 2, 10)
    assert found.share == pytest.approx((90 * 40 / 50 + 36) / 150)
    assert found.shares["repeated steps"] == pytest.approx(18 / 150)
    assert sum(found.shares.values()) == pytest.approx(1.0)
    assert describe_goodput(found) == (
        "goodput 72.0% of 150 s in 2 starts (10 steps repeated); "
        "outside steps 28.0%: start 13.3%, evaluation 2.7%, repeated steps 12.0%"
    )


def test_steps_are_lost_to_any_later_start():
    """The newest checkpoints of two starts were damaged."""
    starts = [Start(0.0, 1.0, *span, {"steps": 1.0}) for span in ((0, 100), (100, 150), (50, 200))]
    assert goodput(starts).lost_steps == 100


def test_a_start_that_came_to_nothing_and_a_run_that_has_just_begun():
    assert goodput([]) is None
    assert goodput([Start(0.0, 0.0, 0, 0)]) is None
    nothing = Start(0.0, 10.0, 0, 0, {"start": 10.0})
    found = goodput([nothing, Start(20.0, 30.0, 0, 5, {"steps": 10.0})])
    assert (found.share, found.lost_steps) == (0.5, 0)


def test_a_foreign_file_is_refused(tmp_path):
    (tmp_path / "runs.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(UserError, match="move it away"):
        Clock(tmp_path)
