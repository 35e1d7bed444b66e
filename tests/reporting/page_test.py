"""The page as a browser gets it: whole, alone, and with nothing in it that the text of a corpus could break."""

import json
import subprocess
import sys

import pytest

from bert_jax.config import Config, PhaseConfig
from bert_jax.config.file import to_json
from bert_jax.reporting.page import write_report
from bert_jax.workdir.metrics_log import MetricsLog

ATTACK = '<script>alert("1")</script>'


@pytest.fixture
def workdir(tmp_path):
    phases = (PhaseConfig(steps=900, max_seq_length=128), PhaseConfig(steps=100, max_seq_length=512))
    (tmp_path / "config.json").write_text(to_json(Config(phases=phases)))
    with MetricsLog(tmp_path, resume_step=0) as log:
        for step in range(50, 1001, 50):
            log.write("train", step, {"masked_lm_loss": 9 - step / 250, "learning_rate": 1e-4, "mfu": 0.4})
        held_out = {"masked_lm_loss": 4.2, "unigram_loss": 5.88, "masked_lm_accuracy": 0.31, "unigram_accuracy": 0.06}
        log.write("validation", 1000, held_out)
    samples = [
        {
            "tokens": ["[CLS]", "[MASK]", ATTACK, "[SEP]", "deci", "##mal", "[SEP]"],
            "predictions": [{"position": 1, "label": ATTACK, "guesses": [[ATTACK, 0.5], ["b", 0.25]]}],
            "next_sentence": {"label": "random", "probability_next": 0.8},
        }
    ]
    (tmp_path / "samples.json").write_text(json.dumps(samples))
    return tmp_path


def test_everything_is_on_the_page(workdir, parsed):
    path = write_report(workdir)
    assert path == workdir / "report.html"
    page = parsed(path)
    words = page.words()
    for part in (
        f"Pretraining: {workdir.parent.name}/{workdir.name} ",
        "The model reads context: its held-out loss is 4.20 nats, 1.68 below the 5.88 of the unigram floor.",
        "unigram floor 5.88",
        "Masked tokens: accuracy",
        "512 tokens",
        "MFU",
        "decimal",
        "was taken from another text; the model gives 80% to its following (wrong)",
        "phases[1]",
        "bert_jax",
    ):
        assert part in words
    assert dict(page.rows())["num_hidden_layers"] == "12"
    assert dict(page.rows())["init_from"] == "none"
    assert page.tags.count("svg") == 4  # the loss for wide and for narrow windows, accuracy, learning rate
    assert [file.name for file in workdir.glob("report*")] == ["report.html"]


def test_text_of_the_corpus_cannot_break_the_page(workdir, parsed):
    page = parsed(write_report(workdir))
    assert "script" not in page.tags
    assert page.words().count(ATTACK) == 4  # masked token in its sentence, the word beside it, label, guess


def test_the_page_needs_nothing_from_elsewhere(workdir, parsed):
    text = write_report(workdir).read_text()
    page = parsed(workdir / "report.html")
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    for name, value in page.attributes:
        assert name not in ("src", "srcset", "data"), (name, value)
        if name.endswith("href"):
            assert value.startswith("#")
    assert "@import" not in text
    assert all(part.startswith("#") for part in text.split("url(")[1:])


def test_a_run_at_its_very_beginning(tmp_path, parsed):
    (tmp_path / "config.json").write_text(to_json(Config()))
    MetricsLog(tmp_path, resume_step=0).close()
    words = parsed(write_report(tmp_path)).words()
    assert "0 steps are done; nothing held out has been evaluated yet." in words
    assert "Sample predictions" not in words


def test_one_evaluation_without_samples(tmp_path, parsed):
    (tmp_path / "config.json").write_text(to_json(Config()))
    with MetricsLog(tmp_path, resume_step=0) as log:
        log.write("validation", 20, {"masked_lm_loss": float("nan"), "unigram_loss": 5.9})
    assert "diverged" in parsed(write_report(tmp_path)).words()


def verb(*flags):
    return subprocess.run(
        [sys.executable, "-m", "bert_jax.report", *flags], capture_output=True, text=True, check=False
    )


def test_the_verb_writes_the_same_page_to_the_given_path(workdir, tmp_path):
    output = tmp_path / "made" / "page.html"
    run = verb(f"--workdir={workdir}", f"--output={output}")
    assert (run.returncode, run.stdout) == (0, f"report: {output}\n"), run.stderr
    assert output.read_bytes() == write_report(workdir).read_bytes()


def test_the_verb_reports_what_is_missing_in_one_line(tmp_path):
    run = verb(f"--workdir={tmp_path}")
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.count("\n") == 1
    assert run.stderr.startswith(f"error: {tmp_path} has no config.json")


def test_reading_a_run_needs_no_jax():
    check = "import sys, bert_jax.reporting.page; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
