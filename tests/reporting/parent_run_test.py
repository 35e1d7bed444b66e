"""What a branch is told of its parent run, from workdirs as a run leaves them."""

import json

import pytest

from bert_jax.reporting.run_history import read_run
from bert_jax.workdir.goodput import Start

PHASES = [{"steps": 90, "global_batch_size": 8, "max_seq_length": 128}]


@pytest.fixture
def make_run(tmp_path):
    """make_run(name, branch_from, steps of its lines) -> its workdir."""

    def make(name, branch_from, *steps):
        workdir = tmp_path / name
        workdir.mkdir()
        (workdir / "config.json").write_text(json.dumps({"phases": PHASES, "branch_from": str(branch_from)}))
        lines = [{"split": "train", "step": step, "time": float(step), "of": len(name)} for step in steps]
        (workdir / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return workdir

    return make


def steps_of(parent):
    return [line["step"] for line in parent.lines]


def start_at(workdir, step):
    start = Start(0.0, 1.0, step, step + 1)
    (workdir / "runs.jsonl").write_text(json.dumps(vars(start)) + "\n")


def test_a_branch_of_a_branch_has_the_lines_of_both(make_run, tmp_path):
    first = make_run("first", "", 10, 20, 30, 40)
    second = make_run("second", f"{first}/checkpoints/25", 30, 40, 50, 60)
    parent = read_run(make_run("third", f"{second}/checkpoints/50", 60, 70)).parent
    assert parent.sentence == f"branch of {tmp_path.name}/second at step 50"
    assert [(line["step"], line["of"]) for line in parent.lines] == [(10, 5), (20, 5), (30, 6), (40, 6), (50, 6)]
    assert read_run(first).parent is None


def test_of_the_newest_checkpoint_the_log_of_starts_has_the_step(make_run):
    first = make_run("first", "", 10, 20, 30)
    branch = make_run("branch", first, 30)
    assert read_run(branch).parent is None  # at which step it began is not known
    start_at(branch, 20)
    assert steps_of(read_run(branch).parent) == [10, 20]
    start_at(branch, 0)  # it had a checkpoint of its own already
    assert read_run(branch).parent is None


def test_a_parent_that_is_gone_or_damaged_is_named(make_run, tmp_path):
    gone = read_run(make_run("a", tmp_path / "gone" / "checkpoints" / "20", 30)).parent
    assert (gone.step, gone.lines) == (20, [])
    damaged = make_run("damaged", "", 10, 20)
    (damaged / "metrics.jsonl").write_text("nothing\n")
    assert read_run(make_run("b", f"{damaged}/checkpoints/20", 30)).parent.lines == []


def test_directories_that_name_each_other_come_to_an_end(make_run, tmp_path):
    one = make_run("one", tmp_path / "two" / "checkpoints" / "20", 30)
    two = make_run("two", f"{one}/checkpoints/30", 10, 40)
    assert steps_of(read_run(one).parent) == [10]
    assert steps_of(read_run(two).parent) == [10, 30]
