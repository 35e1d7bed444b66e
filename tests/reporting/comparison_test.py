"""Runs over each other: who spent how much to get where, what does not compare, and the page of real runs."""

import dataclasses
import re

import pytest

from bert_jax.config import Config, DataConfig, EvaluationConfig, OptimizerConfig, PhaseConfig, TrainConfig
from bert_jax.errors import UserError
from bert_jax.reporting.comparison import (
    Compared,
    differing_settings,
    not_comparable,
    read_compared,
    worst,
)
from bert_jax.reporting.comparison_figures import save_comparison, style
from bert_jax.reporting.comparison_page import values, verdict
from bert_jax.reporting.parent_run import ParentRun
from bert_jax.reporting.run_history import Run
from bert_jax.reporting.run_records import SplitDigest

CONFIG = Config(phases=(PhaseConfig(steps=100, global_batch_size=8, max_seq_length=128),))
RECORDS = ({"train": SplitDigest(900, "a"), "validation": SplitDigest(100, "b")},)


def compared(name, *held_out, rate=1024, flops=10, config=CONFIG, vocabulary="v", records=RECORDS):
    """A run with a step a second at that rate."""
    lines = [{"split": "validation", "step": step, "time": 0.0, "masked_lm_loss": loss} for step, loss in held_out]
    last = max((step for step, _ in held_out), default=10)
    spent = {"tokens_per_second": rate} | ({"flops_per_token": flops} if flops else {})
    lines.append({"split": "train", "step": last, "time": 0.0, "masked_lm_loss": 9.0, **spent})
    run = Run(name, {"phases": [dataclasses.asdict(phase) for phase in config.phases]}, lines, [])
    return Compared(name, run, config, vocabulary, records)


SLOW = compared("slow", (20, 6.0), (60, 5.0), (100, 4.0))
QUICK = compared("quick", (20, 5.0), (40, 3.0), rate=512)


def test_when_a_loss_is_reached():
    assert SLOW.reached(6.5, SLOW.words).step == 20
    assert SLOW.reached(5.0, SLOW.words).step == 60
    spent = QUICK.reached(4.0, SLOW.words)  # half way from 5 to 3
    assert (spent.step, spent.tokens, spent.seconds, spent.flops) == (30, 30 * 1024, 60, 30 * 10240)
    assert SLOW.reached(3.9, SLOW.words) is None


def test_the_verdict_goes_by_training_time():
    assert worst([QUICK, SLOW]) is SLOW
    assert verdict([SLOW, QUICK], []) == (
        "quick reaches held-out loss 4.00, where slow ended after 1 min 40 s, in 1 min 0 s: 60% of the training time."
    )
    crawling = compared("crawling", (20, 5.0), (40, 3.0), rate=100)
    assert verdict([SLOW, crawling], []).startswith("No run reaches held-out loss 4.00, where slow ended")
    assert "has no rates" in verdict([compared("old", (20, 6.0), rate=None), QUICK], [])
    assert "Fewer than two" in verdict([SLOW, compared("new")], [])
    assert values([SLOW, compared("new")])["reached"] == []
    assert verdict([dataclasses.replace(SLOW, config=Config()), QUICK], []).count("slow is") == 1  # not at its end


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_run_that_has_diverged_is_told(split):
    lost = compared("lost", (20, 5.0), (40, 4.5))
    lost.run.lines.append({"split": split, "step": 60, "time": 0.0, "masked_lm_loss": None})
    assert worst([SLOW, QUICK, lost]) is SLOW
    assert verdict([SLOW, lost], []) == (
        "lost has diverged. Fewer than two other runs have been evaluated on held-out text yet."
    )
    assert verdict([lost, SLOW, QUICK], []) == f"lost has diverged. {verdict([SLOW, QUICK], [])}"
    quickest_at_first = compared("lost", (2, 3.0))
    quickest_at_first.run.lines.append({"split": split, "step": 60, "time": 0.0, "masked_lm_loss": None})
    assert "quick reaches" in verdict([quickest_at_first, SLOW, QUICK], [])
    assert verdict([SLOW, lost], ["a remark"]).startswith("lost has diverged. The losses of these")
    assert values([SLOW, lost])["reached"] == []


def test_losses_of_other_words_are_told_apart():
    other_masks = dataclasses.replace(CONFIG, data=DataConfig(masking="bert", masked_lm_prob=0.4))
    fewer = dataclasses.replace(CONFIG, evaluation=EvaluationConfig(max_batches=3))
    all_of_them = dataclasses.replace(CONFIG, evaluation=EvaluationConfig(max_batches=13))  # of 8, which is 104
    of_others = [{"validation": SplitDigest(100, "c")}]
    for other, said in (
        (compared("b", (20, 5.0), vocabulary="w"), "different vocabularies"),
        (compared("b", (20, 5.0), records=of_others), "held-out records"),
        (compared("b", (20, 5.0), config=other_masks), "masks by different rules"),
        (compared("b", (20, 5.0), config=fewer), "different parts"),
    ):
        (remark,) = not_comparable([SLOW, other])
        assert said in remark
        shown = values([SLOW, other])
        assert shown["reached"] == []
        assert "not of the same words" in shown["verdict"]
    with_theirs = dataclasses.replace(other_masks, evaluation=EvaluationConfig(records="records"))
    for same in (
        QUICK,
        compared("b", config=with_theirs),
        compared("b", vocabulary="", records=()),
        compared("b", config=all_of_them),
        compared("b", config=all_of_them, records=()),  # before the first checkpoint, or of an earlier version
        compared("b", config=fewer, records=()),
    ):
        assert not_comparable([SLOW, same]) == []


def test_held_out_records_of_their_own_are_told_apart():
    """By their digests; by the setting where a digest is not known."""

    def evaluated_on(directory, digest=""):
        config = dataclasses.replace(CONFIG, evaluation=EvaluationConfig(records=directory))
        evaluated = {"evaluated": SplitDigest(100, digest)} if digest else {}
        return compared("b", (20, 5.0), config=config, records=({"train": RECORDS[0]["train"]} | evaluated,))

    for one, other, is_same in (
        (SLOW, evaluated_on("pairs", "b"), True),
        (SLOW, evaluated_on("pairs", "c"), False),
        (evaluated_on("pairs", "b"), evaluated_on("moved", "b"), True),
        (evaluated_on("pairs", "b"), evaluated_on("pairs", "c"), False),
        (SLOW, evaluated_on("pairs"), False),
        (evaluated_on("pairs"), evaluated_on("pairs", "b"), True),
        (evaluated_on("pairs"), evaluated_on("others", "b"), False),
        (evaluated_on("pairs"), evaluated_on("others"), False),
    ):
        assert [("held-out records" in remark) for remark in not_comparable([one, other])] == [True] * (not is_same)
    run = compared("b", config=dataclasses.replace(CONFIG, data=DataConfig(records="r")), records=())
    named = dataclasses.replace(run.config, evaluation=EvaluationConfig(records="r"))  # its own, by name
    assert not_comparable([run, dataclasses.replace(run, config=named)]) == []


TWO_PHASES = Config(phases=(PhaseConfig(50, 8, 128), PhaseConfig(50, 2, 512)))
OF_TWO = ({"validation": SplitDigest(100, "short")}, {"validation": SplitDigest(30, "long")})


@pytest.mark.parametrize("records", [OF_TWO, ()])
def test_an_evaluation_of_another_phase_is_of_other_words(records):
    """Also by the lengths alone, before a checkpoint has the digests."""
    how = {"config": TWO_PHASES, "records": records}
    slow = compared("slow", (20, 3.0), (50, 2.0), (60, 5.0), (100, 4.0), **how)
    quick = compared("quick", (20, 2.5), (50, 1.5), (60, 4.5), (80, 3.5), (100, 3.0), **how)
    assert quick.reached(4.0, slow.words).step == 70  # not 20, whose 2.5 is of short records
    assert slow.reached(2.5, quick.words_at(50)).step == 35
    assert not_comparable([slow, quick]) == []
    (_, _, ((steps, share), *_)) = values([slow, quick])["reached"][1]
    assert (steps, share) == ("70", "70%")
    at_first = compared("new", (20, 2.5), (50, 1.5), **how)
    (remark,) = not_comparable([slow, at_first])
    assert "newest evaluations" in remark
    assert "held-out records" in remark


def test_phases_of_the_same_records_may_be_of_other_parts_of_them():
    """In batches of 8 and of 2, three of each."""
    settings = (PhaseConfig(50, 8, 128), PhaseConfig(50, 2, 128))
    config = Config(phases=settings, evaluation=EvaluationConfig(max_batches=3))
    run = compared("a", (50, 2.0), (60, 5.0), (100, 4.0), config=config, records=RECORDS * 2)
    assert run.reached(4.5, run.words).step == 80


def test_settings_that_differ():
    steps = (PhaseConfig(steps=50, global_batch_size=8, max_seq_length=128),)
    other = Config(phases=steps, optimizer=OptimizerConfig(muon=True), train=TrainConfig(log_every_steps=7))
    found = differing_settings([SLOW, compared("b", config=other), SLOW])
    assert found == [("phases[0].steps", [100, 50, 100]), ("optimizer.muon", [False, True, False])]
    assert differing_settings([SLOW, QUICK]) == []


def test_flops_that_are_not_known():
    shown = values([SLOW, compared("old", (20, 5.0), (40, 3.0), flops=None)])
    assert shown["no_flops"] == ["old"]
    assert [title for title, _ in shown["charts"]] == ["By steps", "By tokens", "By training time"]
    assert shown["reached"][1][2][3] == ("–", "")


def test_a_branch_is_told_with_what_is_in_its_amounts():
    line = {"split": "train", "step": 10, "time": 0.0, "tokens_per_second": 512, "flops_per_token": 10}
    for lines, seconds in (([line], "40 s"), ([], "30 s")):  # of 30 steps, the first 10 at half the rate, or as all
        branch = compared("other", (20, 5.0), (40, 3.0))
        branch = dataclasses.replace(branch, run=dataclasses.replace(branch.run, parent=ParentRun("runs/a", 15, lines)))
        shown = values([SLOW, branch])
        (told,) = shown["branches"]
        assert told.startswith("other is a branch of runs/a at step 15: what it took up to there is in its amounts")
        assert ("the log of that run is not there" in told) == (not lines)
        assert shown["no_flops"] == []
        assert shown["reached"][1][2][2][0] == seconds
    assert values([SLOW, QUICK])["branches"] == []


def test_many_runs_have_looks_of_their_own(tmp_path):
    assert len({repr(style(number)) for number in range(20)}) == 20
    shown = values([compared(f"run {number}", (20, 5.0), (40, 3.0)) for number in range(20)])
    looks = [look for _, look, _ in shown["rows"]]
    assert [look for _, look, _ in shown["reached"]] == looks
    assert len(set(looks)) == 20
    assert looks[::8] == ["solid var(--run-1)", "dashed var(--run-1)", "dotted var(--run-1)"]
    save_comparison([SLOW, QUICK], tmp_path / "runs.png")
    assert (tmp_path / "runs.png").read_bytes().startswith(b"\x89PNG")
    save_comparison([compared("new"), compared("newer")], tmp_path / "runs.svg")


def test_a_picture_names_every_run_as_it_is(tmp_path):
    """Not as a formula, nor are names left out that matplotlib takes for its own; and one without held-out losses."""
    names = ["$a$b", "_hidden", r"$\foo$", "plain"]
    runs = [compared(name, (20, 5.0), (40, 3.0)) for name in names]
    save_comparison([*runs, compared("new")], tmp_path / "runs.svg")
    drawn = re.findall(r"<!-- (.*?) -->", (tmp_path / "runs.svg").read_text())
    assert [text for text in drawn if text in [*names, "new"]] == [*names, "new"]


def test_a_picture_of_runs_that_have_logged_nothing_is_one_line(tmp_path):
    empty = dataclasses.replace(SLOW, run=Run("empty", {"phases": []}, [], []))
    with pytest.raises(UserError, match=r"--picture=.*x\.svg: fewer than two of the runs have logged a loss"):
        save_comparison([SLOW, empty], tmp_path / "x.svg")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_page_of_two_real_runs(chain, finished_run, seeds, tmp_path, parsed):
    output, picture = tmp_path / "page.html", tmp_path / "picture.svg"
    done = chain.run("report", f"--compare={finished_run},{seeds[0]}", f"--output={output}", f"--picture={picture}")
    assert done.stdout == f"report: {output}\n"
    page = parsed(output)
    words = page.words()
    for part in ("runs compared: train, seed_1", "By steps", "By tokens", "By training time", "By FLOPs"):
        assert part in words
    assert "where train ended" in words or "where seed_1 ended" in words
    assert page.cells[-2:] == ["0", "1"]  # the seed, in which alone they differ
    assert page.tags.count("svg") == 4
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert picture.read_text().startswith("<?xml")


def test_wrong_directories_are_one_line(chain, finished_run, tmp_path):
    (tmp_path / "config.json").write_text('{"task": {"kind": "classification"}}')
    for directories, said in (
        ([finished_run], "give two different workdirs"),
        ([finished_run, finished_run], "twice"),
        ([finished_run, tmp_path / "nothing"], "has no config.json"),
        ([finished_run, tmp_path], "is the workdir of a fine-tuning"),
    ):
        with pytest.raises(UserError, match=said):
            read_compared([str(directory) for directory in directories])
    done = chain.run("report", f"--compare={finished_run},{tmp_path}", check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "--output" in done.stderr
