"""Other records under a run are refused, or logged where they may be other; the same ones elsewhere are the same."""

import dataclasses
import json
import shutil
from types import SimpleNamespace

import pytest

from bert_jax.config import Config, DataConfig, ModelConfig, PhaseConfig
from bert_jax.errors import UserError
from bert_jax.training.open_phases import open_phases
from bert_jax.training.same_records import PhaseRecords, SplitRecords, check_same_records, records_of
from bert_jax.workdir.checkpoint_files import write_digests

pytestmark = pytest.mark.timeout(900)
THESE = PhaseRecords({"random_seed": 1, "dupe_factor": 2}, [["a.txt", 10, "00"]], {"train": SplitRecords(10, "aa")})
OTHERS = PhaseRecords({"random_seed": 1, "dupe_factor": 2}, [["a.txt", 10, "00"]], {"train": SplitRecords(10, "bb")})


class Source:
    directory = "RECORDS"


def check(before, now, step=5, may_differ=False):
    """Of two phases of ten steps."""
    phases = [SimpleNamespace(first_step=first, last_step=first + 10, train=Source()) for first in (0, 10)]
    check_same_records("WORKDIR", step, before, phases, now, may_differ)


def test_equal_records_pass_however_they_were_made():
    moved = PhaseRecords({"random_seed": 1, "num_parts": 3}, [["b.txt", 10, "00"]], THESE.splits)
    check([THESE, THESE], [moved, THESE])


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (OTHERS, "RECORDS had other records of the same number, made with the same options"),
        (PhaseRecords(THESE.options, [["b.txt", 9, "11"]], OTHERS.splits), "RECORDS had other text"),
        (
            PhaseRecords({"random_seed": 7, "dupe_factor": 5}, THESE.inputs, {"train": SplitRecords(25, "cc")}),
            "RECORDS had --random_seed=1, not 7, --dupe_factor=2, not 5, 10 train records, not 25",
        ),
    ],
)
def test_what_differs_is_named_with_the_ways_on(now, words, caplog):
    with pytest.raises(UserError) as error:
        check([THESE, THESE], [now, THESE])
    assert words in str(error.value)
    assert "WORKDIR was trained up to step 5 on other records" in str(error.value)
    assert "--config.data.allow_other_records=true" in str(error.value)
    check([THESE, THESE], [now, THESE], may_differ=True)
    assert words in caplog.text


def test_a_phase_that_has_not_begun_may_get_others():
    check([THESE, THESE], [THESE, OTHERS], step=10)
    with pytest.raises(UserError, match="other records"):
        check([THESE, THESE], [THESE, OTHERS], step=11)


def test_held_out_records_of_their_own_are_not_those_of_the_run():
    class Records(list):
        def __init__(self, directory):
            super().__init__([0])
            self.directory = directory

        def digest(self):
            return self.directory

    def opened(held_out):
        manifest = SimpleNamespace(options={}, inputs=[])
        return SimpleNamespace(manifest=manifest, train=Records("a"), validation=held_out)

    assert set(records_of(opened(Records("a"))).splits) == {"train", "validation"}
    assert set(records_of(opened(Records("b"))).splits) == set(records_of(opened(None)).splits) == {"train"}
    found = [records_of(opened(held_out)).evaluated for held_out in (Records("a"), Records("b"), None)]
    assert found == [None, SplitRecords(1, "b"), None]  # for reports: what a run's losses are of
    both = dataclasses.replace(THESE, splits=THESE.splits | {"validation": SplitRecords(3, "vv")})
    check([both, both], [THESE, both])
    elsewhere = [dataclasses.replace(THESE, evaluated=SplitRecords(3, digest)) for digest in "bc"]
    check([elsewhere[0]] * 2, [elsewhere[1]] * 2)


def test_of_an_earlier_version_what_is_known_is_compared():
    known = PhaseRecords(THESE.options, THESE.inputs)
    check([known, None], [OTHERS, OTHERS], step=20)
    with pytest.raises(UserError, match="--random_seed=1, not 3"):
        check([known, None], [PhaseRecords({"random_seed": 3}, THESE.inputs, OTHERS.splits), OTHERS])


def contents(directory):
    return {path: path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def rebuilt(chain, tmp_path_factory):
    """The same text and vocabulary, with another seed and dupe factor."""
    output = tmp_path_factory.mktemp("rebuilt") / "records"
    flags = ["--max_seq_length=32", "--max_predictions_per_seq=6", "--dupe_factor=3", "--random_seed=7"]
    flags += ["--holdout=0.1", "--num_workers=1"]
    chain.run("build_records", f"--input={chain.corpus}", f"--vocab={chain.vocab}", f"--output={output}", *flags)
    return output


def edit_description(workdir, change):
    """Change the JSON beside the last checkpoint, as if it had been written so."""
    (checkpoint,) = (path for path in (workdir / "checkpoints").iterdir() if path.name == "20")
    path = checkpoint / "description" / "metadata"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    write_digests(checkpoint)


@pytest.mark.parametrize("version", ["this", pytest.param("before", marks=pytest.mark.slow)])
def test_records_rebuilt_under_a_run(chain, finished_run, rebuilt, tmp_path, version):
    workdir = shutil.copytree(finished_run, tmp_path / "train")
    if version == "before":
        edit_description(workdir, lambda content: (content.pop("records"), content.pop("watch")))
    before = contents(workdir)
    done = chain.pretrain(workdir, f"--config.data.records={rebuilt}", check=False)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(
        f"error: {workdir} was trained up to step 20 on other records: {rebuilt} had --dupe_factor=2"
    )
    assert "--random_seed=12345, not 7" in last
    assert "--config.data.allow_other_records=true" in last
    assert contents(workdir) == before
    branch = f"--config.branch_from={finished_run}/checkpoints/10"  # where its rate begins to fall
    branched = chain.pretrain(tmp_path / "branch", f"--config.data.records={rebuilt}", branch, check=False)
    assert f"error: {finished_run} was trained up to step 10 on other records: {rebuilt} had" in branched.stderr
    assert not (tmp_path / "branch").exists()
    moved = shutil.copytree(chain.records(32), tmp_path / "moved")
    chain.pretrain(workdir, f"--config.data.records={moved}")
    done = chain.pretrain(workdir, f"--config.data.records={rebuilt}", "--config.data.allow_other_records=true")
    assert "resuming after step 20 with other records" in done.stderr


def test_held_out_documents_that_were_trained_on_are_told(chain, finished_run, rebuilt, tmp_path, caplog):
    """In evaluate, and where another phase is trained on them: `rebuilt` holds out others of the same text."""
    said = "holds out other documents of the same text than the records"
    done = chain.run("evaluate", f"--workdir={finished_run}", f"--records={rebuilt}")
    assert f"{rebuilt} {said} that the model was trained on" in done.stderr
    assert said not in chain.run("evaluate", f"--workdir={finished_run}").stderr
    (tmp_path / "32").symlink_to(rebuilt)
    (tmp_path / "64").symlink_to(chain.records(64))
    phases = tuple(PhaseConfig(steps=1, global_batch_size=4, max_seq_length=length) for length in (32, 64))
    model = ModelConfig(max_position_embeddings=64)
    open_phases(Config(model=model, phases=phases, data=DataConfig(records=f"{tmp_path}/{{max_seq_length}}")))
    assert f"{tmp_path}/32 {said} in {tmp_path}/64, where another phase is trained on some of them" in caplog.text
