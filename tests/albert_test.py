"""ALBERT from text to a trained model by the commands that people type: tiny, on real text."""

import json
import signal
import time

import jax
import numpy as np
import pytest

from bert_jax.data.manifest import read_manifest
from tests.training.conftest import final_state, read_lines, without_times

pytestmark = pytest.mark.timeout(900)


class Albert:
    """The commands on the chain's text, with a vocabulary and records of ALBERT's kind."""

    def __init__(self, chain, directory):
        self.chain, self.vocab, self.records = chain, directory / "vocab", directory / "records"

    def make(self, corpus, *flags):
        vocab, sizes = f"--output={self.vocab}", ("--max_seq_length=64", "--max_predictions_per_seq=10")
        self.chain.run("build_vocab", f"--input={corpus}", vocab, "--kind=unigram", "--vocab_size=800")
        text = f"--input={corpus}", f"--vocab={self.vocab}", f"--output={self.records}", "--num_workers=1"
        self.chain.run("build_records", *text, *sizes, "--pairs=sop", "--ngram=3", "--holdout=0.1", *flags)

    def flags(self, workdir):
        return [*self.chain.pretrain_flags(workdir, "albert.py"), f"--config.data.records={self.records}"]

    def pretrain(self, workdir, *flags, check=True):
        return self.chain.run("pretrain", *self.flags(workdir), *flags, check=check)

    def start(self, workdir, devices=1):
        return self.chain.start("bert_jax.pretrain", *self.flags(workdir), devices=devices)


@pytest.fixture(scope="module")
def albert(chain, made_once):
    def make(directory):
        Albert(chain, directory).make(chain.corpus, "--dupe_factor=2")

    return Albert(chain, made_once("albert", make))


@pytest.fixture(scope="module")
def trained(albert, tmp_path_factory):
    """The workdir of a run that nothing interrupts."""
    workdir = tmp_path_factory.mktemp("albert") / "train"
    albert.pretrain(workdir)
    return workdir


@pytest.mark.slow
def test_records_and_metrics_are_of_sentence_order(albert, trained):
    manifest = read_manifest(albert.records)
    assert manifest.pairs == "sop"
    assert manifest.options["whole_word_mask"] is True
    counts = manifest.statistics["train"]
    assert 0.4 < counts["exchanged"] / (counts["instances"] - counts["random_next"]) < 0.6
    assert json.loads((trained / "config.json").read_text())["data"]["pairs"] == "sop"
    lines = read_lines(trained / "metrics.jsonl")
    held_out = [line for line in lines if line["split"] == "validation"][-1]
    assert 0.4 < held_out["sentence_order_accuracy"] < 1
    assert held_out["majority_sentence_order_accuracy"] >= 0.5
    assert not [name for line in lines for name in line if "next_sentence" in name]
    assert lines[0]["masked_lm_loss"] - held_out["masked_lm_loss"] > 1
    page = (trained / "report.html").read_text()
    assert "Sentence order: accuracy" in page
    assert "Next sentence" not in page


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_bits(albert, trained, tmp_path):
    process = albert.start(tmp_path / "train")
    wait_for_lines(process, tmp_path / "train", 6)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    done = albert.pretrain(tmp_path / "train")
    assert "from step 0 to" not in done.stderr
    jax.tree.map(np.testing.assert_array_equal, final_state(tmp_path / "train"), final_state(trained))
    lines, expected = (read_lines(path / "metrics.jsonl") for path in (tmp_path / "train", trained))
    assert without_times(lines) == without_times(expected)


@pytest.mark.slow
def test_eight_devices_have_the_losses_of_one(albert, trained, tmp_path):
    """Also where a shared layer's gradient, which is a sum over all places of the layer, is cut over the devices."""
    process = albert.start(tmp_path / "train", devices=8)
    wait_for_lines(process, tmp_path / "train", 4)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    found, expected = (
        [line["loss"] for line in read_lines(path / "metrics.jsonl") if line["split"] == "train"]
        for path in (tmp_path / "train", trained)
    )
    np.testing.assert_allclose(found, expected[: len(found)], rtol=1e-4)


@pytest.mark.slow
def test_it_learns_more_than_how_frequent_tokens_are(chain, tmp_path):
    """With Adam, and without dropout as in version 2: with LAMB so small a model is not there after 650 steps."""
    albert = Albert(chain, tmp_path)
    albert.make(chain.corpus, "--dupe_factor=4", "--nowhole_word_mask")
    size = {"hidden_size": 128, "intermediate_size": 512, "embedding_size": 64, "initializer_range": 0.06}
    size |= {"hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0}
    recipe = {"trust_ratio": "false", "learning_rate": 1e-3, "warmup_steps": 100, "bias_correction": "true"}
    flags = [f"--config.model.{name}={value}" for name, value in size.items()]
    flags += [f"--config.optimizer.{name}={value}" for name, value in recipe.items()]
    albert.pretrain(tmp_path / "train", *flags, "--config.phases[0].steps=600", "--config.evaluation.every_steps=600")
    held_out = [line for line in read_lines(tmp_path / "train" / "metrics.jsonl") if line["split"] == "validation"][-1]
    assert held_out["masked_lm_loss"] < held_out["unigram_loss"] - 0.1
    assert held_out["masked_lm_accuracy"] > 1.5 * held_out["unigram_accuracy"]


def wait_for_lines(process, workdir, number):
    path = workdir / "metrics.jsonl"
    while not path.exists() or len(path.read_text().splitlines()) < number:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
