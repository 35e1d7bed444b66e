"""A run and its records, begun at revision 407130c, resume with today's program, to what that revision made of them.

golden/begun_at_407130c.tar.xz holds config.py, the records, the same run to its end (whole), and one that SIGTERM
stopped after 61 of 400 steps (begun); all by the commands of that revision.
"""

import json
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def run(verbs):
    """run(verb, *flags) -> the finished process, which succeeded."""

    def run(verb, *flags):
        done = verbs.run(verb, *flags)
        assert done.returncode == 0, done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    directory = tmp_path_factory.mktemp("begun")
    with tarfile.open(ROOT / "tests" / "golden" / "begun_at_407130c.tar.xz") as archive:
        archive.extractall(directory, filter="data")
    return directory


def lines(workdir, split):
    found = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line for line in found if line["split"] == split}


def test_it_goes_on_to_the_same_losses(run, begun):
    flags = [f"--config={begun}/config.py", f"--config.data.records={begun}/records"]
    done = run("pretrain", *flags, f"--workdir={begun}/begun")
    assert "from step 61 to 400" in done.stderr
    ours, theirs = (lines(begun / name, "train") for name in ("begun", "whole"))
    assert sorted(ours) == sorted(theirs)
    # The line of the first interval after the checkpoint held only the steps since then, at that revision.
    for step in set(theirs) - {80}:
        assert ours[step]["loss"] == pytest.approx(theirs[step]["loss"], rel=1e-3), step
    scores = [lines(begun / name, "validation")[400]["masked_lm_loss"] for name in ("begun", "whole")]
    assert scores[0] == pytest.approx(scores[1], rel=1e-3)


def test_its_checkpoints_are_evaluated_and_exported(run, begun):
    scores = json.loads(run("evaluate", f"--workdir={begun}/whole", f"--records={begun}/records").stdout)
    assert scores["next_sentence_accuracy"] > 0.7
    run("export", f"--workdir={begun}/whole", "--format=numpy", f"--output={begun}/export")
    assert (begun / "export" / "params.npz").exists()
