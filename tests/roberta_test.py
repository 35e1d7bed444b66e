"""RoBERTa on real text through the commands: its own vocabulary, blocks of sentences, masks of each epoch's own."""

import json
import signal

import numpy as np
import pytest
import transformers

from bert_jax.data.source import RecordSource
from bert_jax.model.functional import flatten
from bert_jax.workdir.run_directory import read_config
from tests.training.conftest import final_state

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
STEPS = 200


class Family:
    """The commands with this family's flags."""

    def __init__(self, chain, directory):
        self.chain, self.directory = chain, directory
        self.workdir = directory / "train"

    def make(self):
        """A vocabulary and records of the chain's corpus, and a finished run."""
        of_text = f"--input={self.chain.corpus}"
        vocab, records = self.directory / "vocab", self.directory / "records"
        self.chain.run("build_vocab", of_text, f"--output={vocab}", "--kind=bpe", "--vocab_size=700")
        sizes = ["--max_seq_length=32", "--max_predictions_per_seq=5", "--dupe_factor=1", "--num_workers=1"]
        kind = ["--pairs=none", "--blocks=full", "--cut_long_sentences", "--holdout=0.1"]
        self.chain.run("build_records", of_text, f"--vocab={vocab}", f"--output={records}", *sizes, *kind)
        self.chain.run("pretrain", *self.flags(self.workdir))

    def flags(self, workdir):
        flags = self.chain.pretrain_flags(workdir, "roberta.py")
        return [*flags, f"--config.data.records={self.directory}/records"]

    def start(self, workdir, devices=1):
        return self.chain.start("bert_jax.pretrain", *self.flags(workdir), devices=devices)


@pytest.fixture(scope="module")
def family(chain, made_once):
    return Family(chain, made_once("roberta", lambda directory: Family(chain, directory).make()))


def metrics(workdir, split):
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line for line in lines if line["split"] == split}


def test_it_learns_more_than_words_alone_and_its_scores_are_repeated(family):
    held_out = metrics(family.workdir, "validation")[STEPS]
    assert held_out["masked_lm_loss"] < held_out["unigram_loss"] - 0.15
    assert held_out["masked_lm_accuracy"] > 1.5 * held_out["unigram_accuracy"]
    assert not any("next_sentence" in name for name in held_out)
    scores = json.loads(family.chain.run("evaluate", f"--workdir={family.workdir}").stdout)
    for name in ("masked_lm_loss", "unigram_loss"):  # the same masks in every evaluation
        assert scores[name] == pytest.approx(held_out[name], rel=1e-4)
    config = read_config(family.workdir)
    assert (config.data.masking, config.data.pairs) == ("roberta", "none")
    records = RecordSource(family.directory / "records", "train")
    assert STEPS * config.phases[0].global_batch_size > len(records)  # so some were masked anew


def test_a_killed_run_ends_with_the_same_bits(family, tmp_path):
    process = family.start(tmp_path / "train")
    for line in process.stderr:
        if "step 70/" in line:  # checkpoints are of every 50
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    done = family.chain.run("pretrain", *family.flags(tmp_path / "train"))
    assert "from step 50 to 200" in done.stderr
    expected = flatten(final_state(family.workdir)["params"])
    for name, ours in flatten(final_state(tmp_path / "train")["params"]).items():
        np.testing.assert_array_equal(ours, expected[name], err_msg=name)
    losses, straight = (metrics(workdir, "train") for workdir in (tmp_path / "train", family.workdir))
    assert {step: line["loss"] for step, line in losses.items()} == {
        step: line["loss"] for step, line in straight.items()
    }


def test_eight_devices_are_one(family, tmp_path):
    process = family.start(tmp_path / "train", devices=8)
    _, stderr = process.communicate(timeout=600)
    assert process.returncode == 0, stderr
    assert "on 8 x cpu" in stderr
    ours, expected = (metrics(workdir, "train") for workdir in (tmp_path / "train", family.workdir))
    assert len(ours) == len(expected) == STEPS // 10
    for step, line in ours.items():
        # Sums in another order: a difference in the last bits grows with the steps.
        assert line["loss"] == pytest.approx(expected[step]["loss"], rel=1e-5 if step <= 20 else 5e-3), step


def test_words_are_filled_in(family, tmp_path):
    (tmp_path / "texts.txt").write_text("The [MASK] statement\nan <mask> of the class\n")
    done = family.chain.run(
        "predict", f"--workdir={family.workdir}", f"--input={tmp_path / 'texts.txt'}", "--best=3", check=False
    )
    assert done.returncode == 1
    assert "line 2 has no [MASK]" in done.stderr  # this vocabulary's own spelling is [MASK], and <mask> is text
    (tmp_path / "texts.txt").write_text("The [MASK] statement\n")
    filled = tmp_path / "filled.jsonl"
    family.chain.run(
        "predict", f"--workdir={family.workdir}", f"--input={tmp_path / 'texts.txt'}", f"--output={filled}"
    )
    answer = json.loads(filled.read_text())
    assert len(answer["masks"][0]) == 5
    assert answer["filled"].startswith("The ")
    assert answer["filled"].endswith(" statement")
    family.chain.run("export", f"--workdir={family.workdir}", "--format=huggingface", f"--output={tmp_path / 'hf'}")
    theirs = transformers.pipeline("fill-mask", model=str(tmp_path / "hf"), top_k=5)("The [MASK] statement")
    assert type(transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "hf")).__name__ == "RobertaForMaskedLM"
    for ours, other in zip(answer["masks"][0], theirs, strict=True):
        assert ours["probability"] == pytest.approx(other["score"], abs=1e-4)
        assert ours["token"].removeprefix("Ġ") == other["token_str"].strip()
