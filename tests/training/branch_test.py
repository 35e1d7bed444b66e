"""Runs that are given more steps, and branches: to the bit what a run is that had its last schedule from the start."""

import json
import re
import shutil

import jax
import numpy as np
import pytest

from bert_jax.config import PhaseConfig
from bert_jax.errors import UserError
from bert_jax.parallel.mesh import make_mesh
from bert_jax.storage.lock import only_run
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.training.branch import find_parent
from bert_jax.training.pretraining import pretraining_program
from bert_jax.training.state import abstract_state
from bert_jax.training.warm_start import read_weights
from bert_jax.workdir.checkpoints import Checkpoints
from bert_jax.workdir.run_directory import check_same_run, read_config
from tests.jobs import finish, job_flags
from tests.training.conftest import read_lines, without_times

BOTH = [
    "--config.optimizer.muon=true",
    "--config.optimizer.warmup_steps=3",
    "--config.train.log_every_steps=4",
    "--config.train.checkpoint_every_steps=6",
    "--config.evaluation.report_sentences=0",
]
PARENT = [*BOTH, "--config.optimizer.decay_steps=6", "--config.train.keep_checkpoints=2"]  # of its 20 steps
LONGER = [*BOTH, "--config.phases[0].steps=26", "--config.optimizer.decay_steps=8"]


def final_state(workdir):
    config = read_config(workdir)
    program = pretraining_program(config, make_mesh(config.mesh, jax.devices()[:1]))
    target = abstract_state(program.model, program.optimizer, program.shardings)
    with Checkpoints(workdir / "checkpoints", read_only=True) as checkpoints:
        return jax.tree.map(np.asarray, checkpoints.restore(config.total_steps, target))


def check_same(workdir, other, after):
    """The same state at the end, and the same lines after a step."""
    jax.tree.map(np.testing.assert_array_equal, final_state(workdir), final_state(other))
    lines, expected = (without_times(read_lines(path / "metrics.jsonl")) for path in (workdir, other))
    assert lines == [line for line in expected if line["step"] > after]


def contents(directory):
    return {path: path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def parent(chain, tmp_path_factory):
    """A run that has ended. Take a copy to change it."""
    workdir = tmp_path_factory.mktemp("parent") / "run"
    chain.pretrain(workdir, *PARENT)
    return workdir


@pytest.fixture(scope="module")
def longer(chain, tmp_path_factory):
    """A run that had the longer schedule from its start."""
    workdir = tmp_path_factory.mktemp("longer") / "run"
    chain.pretrain(workdir, *LONGER)
    return workdir


def steps_of(workdir):
    return sorted(int(path.name) for path in (workdir / "checkpoints").iterdir())


def test_a_run_in_its_stable_part_is_given_more_steps(chain, parent, longer, tmp_path):
    assert steps_of(parent) == [14, 18, 20]  # the one before the decay is kept beside the newest two
    workdir = shutil.copytree(parent, tmp_path / "run")
    for step in (18, 20):
        shutil.rmtree(workdir / "checkpoints" / str(step))
    done = chain.pretrain(workdir, *LONGER)
    changes = "phases.0.steps=20, not 26; optimizer.decay_steps=6, not 8"
    assert f"resuming in {workdir}, whose schedule had {changes}" in done.stderr
    assert "[]" not in done.stderr
    check_same(workdir, longer, 0)


def test_a_branch_ends_as_the_longer_run_though_it_is_killed_and_its_parent_goes_away(chain, parent, longer, tmp_path):
    source, workdir = shutil.copytree(parent, tmp_path / "parent"), tmp_path / "branch"
    before, flags = contents(source), [*LONGER, f"--config.branch_from={source}/checkpoints/14"]
    with only_run(source, "--workdir"):  # as if it were training
        process = chain.start_pretrain(workdir, *flags)
        told = next(line for line in process.stderr if "; from step " in line)
        process.kill()
        process.communicate()
    assert "from step 14 to 26" in told
    assert steps_of(workdir)[0] == 14
    assert {path: content for path, content in contents(source).items() if path.name != ".lock"} == before
    source.rename(tmp_path / "moved")
    chain.pretrain(workdir, *flags)
    check_same(workdir, longer, 14)


@pytest.mark.slow
def test_two_processes_branch_onto_another_mesh(chain, parent, longer, tmp_path):
    flags = [*LONGER, f"--config.branch_from={parent}/checkpoints/14", "--config.mesh.data=2", "--config.mesh.tensor=2"]
    finish([chain.start_pretrain(tmp_path, *flags, *own, devices=2) for own in job_flags(2)])
    losses, expected = (
        [line["loss"] for line in read_lines(path / "metrics.jsonl") if line["step"] > 14]
        for path in (tmp_path, longer)
    )
    np.testing.assert_allclose(losses, expected, rtol=2e-5)


def test_a_run_whose_decay_has_begun_is_told_where_to_branch(chain, parent):
    before = contents(parent)
    done = chain.pretrain(parent, *LONGER, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"error: {parent} was started with phases.0.steps=20, not 26; optimizer.decay_steps=6, not 8: give the same "
        "values to resume, or another --workdir (its learning rate has been falling since step 14; to branch before "
        f"that: --config.branch_from={parent}/checkpoints/14)"
    )
    assert contents(parent) == before


def changed_config(workdir, changes):
    """The config of a run with changes by dotted names; "steps" is of its one phase."""
    config = read_config(workdir)
    for name, value in changes.items():
        *groups, field = f"phases.0.{name}".split(".") if name == "steps" else name.split(".")
        holder = config
        for group in groups:
            holder = holder[int(group)] if group.isdecimal() else getattr(holder, group)
        setattr(holder, field, value)
    return config


@pytest.mark.parametrize(
    ("changes", "ends"),
    [
        ({"steps": 25}, "since step 14; to branch before that: --config.branch_from={}/checkpoints/14)"),
        ({"steps": 14}, "or another --workdir (its last step is 20 already)"),
        ({"steps": 25, "optimizer.warmup_steps": 4}, "(for more steps: with --config.init_from={})"),  # Muon's: weights
        ({"optimizer.learning_rate": 0.5}, "or another --workdir"),
        (
            {"phases": (PhaseConfig(20, 16, 32), PhaseConfig(5, 8, 64))},
            "branch before that: --config.branch_from={}/checkpoints/14)",
        ),
    ],
)
def test_what_a_run_is_told_that_cannot_go_on_otherwise(parent, changes, ends):
    config = changed_config(parent, changes)
    with pytest.raises(UserError) as error:
        check_same_run(parent, config, load_tokenizer(parent / "tokenizer").fingerprint)
    assert str(error.value).endswith(ends.format(parent))


PHASES = (PhaseConfig(14, 16, 32), PhaseConfig(6, 8, 64))


@pytest.mark.parametrize(
    ("place", "changes", "words"),
    [
        ("/checkpoints/18", {}, None),
        ("/checkpoints/14", {"phases": PHASES, "init_from": ""}, None),
        (
            "",
            {"steps": 21},
            "at step 20 that cannot change: its learning rate has been falling since step 14; give the",
        ),
        ("", {"steps": 21}, "or an earlier checkpoint (there are those of steps 14)"),
        (
            "",
            {},
            "is at step 20 and this run ends with step 20; give it more steps, or an earlier checkpoint (",
        ),
        ("/checkpoints/14", {"steps": 15, "optimizer.decay_steps": 2}, "its learning rate would have been falling sin"),
        ("/checkpoints/14", {"phases": (PhaseConfig(9, 16, 32), PHASES[1])}, "its 14 steps so far have other phases"),
        (
            "/checkpoints/14",
            {"phases": (PhaseConfig(20, 8, 32),)},
            "was trained with phases.0.global_batch_size=16, not",
        ),
        ("/checkpoints/15", {}, "/checkpoints/15 is no checkpoint of {}; it has those of steps 14, 18, 20"),
        (
            "/checkpoints",
            {},
            "--config.branch_from: {}/checkpoints holds no run (no config.json); give the --w",
        ),
        ("/checkpoints/14", {"model.num_hidden_layers": 2}, "was trained with model.num_hidden_layers=1, not 2; give"),
        (
            "/checkpoints/14",
            {"optimizer.muon": False},
            "was trained with optimizer.muon=True, not False; give the",
        ),
        ("/checkpoints/14", {"train.seed": 1}, "was trained with train.seed=0, not 1; give the same values"),
    ],
)
def test_what_can_be_branched_from(parent, place, changes, words):
    config = changed_config(parent, {"branch_from": f"{parent}{place}", **changes})
    fingerprint = load_tokenizer(parent / "tokenizer").fingerprint
    if words is None:
        assert find_parent(config, fingerprint).step == int(place[-2:])
        return
    with pytest.raises(UserError, match=re.escape(words.format(parent))) as error:
        find_parent(config, fingerprint)
    assert str(error.value).startswith("--config.branch_from")
    assert "\n" not in str(error.value)


def test_a_damaged_checkpoint_and_another_vocabulary(parent, tmp_path):
    workdir = shutil.copytree(parent, tmp_path / "run")
    config = changed_config(workdir, {"branch_from": f"{workdir}/checkpoints/18", "steps": 20})
    with pytest.raises(UserError, match="was started on records of another vocabulary"):
        find_parent(config, "another")
    description = workdir / "checkpoints" / "18" / "description" / "metadata"
    description.write_text(json.dumps(json.loads(description.read_text()) | {"owes_evaluation": True}))
    with pytest.raises(UserError, match=r"damaged \(description.*give another one \(there are those of steps 14, 20\)"):
        find_parent(config, load_tokenizer(workdir / "tokenizer").fingerprint)


def test_moments_of_a_run_with_muon_are_refused(parent):
    with pytest.raises(UserError) as error:
        read_weights(parent, True, read_config(parent).model, load_tokenizer(parent / "tokenizer"))
    assert str(error.value) == (
        f"--config.init_moments: {parent} was trained with Muon, which keeps no moments of Adam's for the layers' "
        "matrices; leave it out, or continue the whole of that run: --config.branch_from in place of init_from"
    )
