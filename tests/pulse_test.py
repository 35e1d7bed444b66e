"""The whole chain through the commands that people type, on real text, small: does every command work?"""

import json

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def trained(chain, tmp_path_factory):
    """A finished run of two phases, bfloat16, with gradient accumulation, and what its command printed."""
    workdir = tmp_path_factory.mktemp("pulse") / "train"
    done = chain.pretrain(
        workdir,
        "--config.train.dtype=bfloat16",
        "--config.train.accumulation_steps=2",
        "--config.phases[0].steps=30",
        "--config.phases[1].steps=10",
        config="two_phases.py",
        JAX_DISABLE_MOST_OPTIMIZATIONS="0",  # as users compile
    )
    return workdir, done


def metrics(workdir, split):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["split"] == split]


def test_pretraining_says_where_the_report_is(trained):
    workdir, done = trained
    assert f"report: {workdir}/report.html" in done.stdout
    assert "<html" in (workdir / "report.html").read_text()


def test_plain_lines_are_printed_when_nobody_watches(trained):
    _, done = trained
    assert "step 40/40" in done.stderr
    assert "eta" in done.stderr
    assert "\r" not in done.stderr  # no progress bar


def test_both_phases_are_in_the_metrics_and_the_loss_falls(trained):
    workdir, _ = trained
    train = metrics(workdir, "train")
    assert {line["phase"] for line in train} == {0, 1}
    assert train[-1]["step"] == 40
    assert train[-1]["masked_lm_loss"] < train[0]["masked_lm_loss"] - 0.5
    assert all(line["tokens_per_second"] > 0 and 0 < line["mfu"] < 1.5 for line in train)


def test_held_out_loss_is_written_beside_its_floor(trained):
    workdir, _ = trained
    last = metrics(workdir, "validation")[-1]
    assert last["step"] == 40
    assert 2 < last["unigram_loss"] < 8
    assert 0.4 < last["majority_next_sentence_accuracy"] < 0.9


def test_evaluate_gives_the_scores_of_the_run_itself(trained, chain):
    workdir, _ = trained
    scores = json.loads(chain.run("evaluate", f"--workdir={workdir}").stdout)
    last = metrics(workdir, "validation")[-1]
    assert scores["step"] == 40
    for name in ("masked_lm_loss", "next_sentence_accuracy", "unigram_loss"):
        assert scores[name] == pytest.approx(last[name], rel=1e-3)


def test_evaluate_on_other_records(trained, chain):
    workdir, _ = trained
    scores = json.loads(chain.run("evaluate", f"--workdir={workdir}", f"--records={chain.records(64)}").stdout)
    assert scores["masked_lm_loss"] > 0


def test_the_export_is_loaded_by_transformers(trained, chain, tmp_path):
    transformers = pytest.importorskip("transformers")
    workdir, _ = trained
    chain.run("export", f"--workdir={workdir}", "--format=huggingface", f"--output={tmp_path / 'hf'}")
    _, loading = transformers.BertForPreTraining.from_pretrained(tmp_path / "hf", output_loading_info=True)
    assert not any(loading[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))


def test_the_same_command_again_changes_nothing(trained, chain):
    workdir, _ = trained
    before = {path: path.read_bytes() for path in sorted(workdir.glob("checkpoints/*/state/**/*")) if path.is_file()}
    lines = (workdir / "metrics.jsonl").read_text()
    chain.pretrain(
        workdir,
        "--config.train.dtype=bfloat16",
        "--config.train.accumulation_steps=2",
        "--config.phases[0].steps=30",
        "--config.phases[1].steps=10",
        config="two_phases.py",
    )
    assert before
    assert before == {path: path.read_bytes() for path in before}
    assert (workdir / "metrics.jsonl").read_text() == lines


def test_building_again_does_nothing(chain):
    before = {path: path.stat().st_mtime_ns for path in chain.records(64).rglob("*")}
    chain.build_records(64)
    assert before == {path: path.stat().st_mtime_ns for path in chain.records(64).rglob("*")}
