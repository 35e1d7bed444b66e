"""A teacher and its student, small, on real text, by the commands: what is learned, and that a kill changes nothing."""

import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from bert_jax.model.functional import flatten
from tests.training.conftest import final_state, read_lines

TEXT = Path(__file__).parents[3] / "shared" / "corpus" / "enwiki_gensim.txt.xz"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not TEXT.exists(), reason="no real text beside the project"),
]
BOTH = (
    "--config.model.num_attention_heads=4",
    "--config.model.hidden_size=64",
    "--config.model.intermediate_size=128",
    "--config.model.initializer_range=0.1",
    "--config.model.hidden_dropout_prob=0",
    "--config.model.attention_probs_dropout_prob=0",
    "--config.model.next_sentence=false",
    "--config.phases[0].global_batch_size=64",
    "--config.optimizer.learning_rate=5e-3",
    "--config.optimizer.warmup_steps=20",
    "--config.optimizer.beta2=0.98",
    "--config.optimizer.bias_correction=true",
    "--config.train.log_every_steps=20",
    "--config.train.checkpoint_every_steps=20",
    "--config.evaluation.every_steps=1000",
    "--config.evaluation.max_batches=10",
)
TEACHER = ("--config.model.num_hidden_layers=2", "--config.phases[0].steps=240")
STUDENT = ("--config.model.type_vocab_size=0", "--config.phases[0].steps=60")
# Of a loss in which the teacher weighs next to nothing, so that the distance from it is measured all the same.
ALONE = ("--config.distillation.kl_weight=1e-6", "--config.distillation.cosine_weight=1e-6")
BEGINS = ("--config.distillation.init_layers=1",)


class Household:
    """A directory with text, vocabulary and records, a trained teacher, and its students."""

    def __init__(self, chain, directory):
        self.chain, self.directory, self.teacher = chain, directory, directory / "teacher"

    def make(self):
        text, vocab = self.directory / TEXT.name, self.directory / "vocab"
        shutil.copy(TEXT, text)
        self.chain.run("build_vocab", f"--input={text}", f"--output={vocab}", "--kind=wordpiece", "--vocab_size=400")
        self.chain.run(
            "build_records",
            *(f"--input={text}", f"--vocab={vocab}", f"--output={self.directory}/records", "--split_sentences"),
            *("--max_seq_length=32", "--max_predictions_per_seq=5", "--dupe_factor=1", "--holdout=0.05"),
        )
        self.train(self.teacher, *TEACHER)
        self.train(self.directory / "student", *self.of_teacher(), *BEGINS)
        self.train(self.directory / "alone", *self.of_teacher(), *ALONE)

    def of_teacher(self, teacher=None):
        return (*STUDENT, f"--config.teacher={teacher or self.teacher}")

    def flags(self, *others):
        return (*BOTH, f"--config.data.records={self.directory}/records", *others)

    def train(self, workdir, *others, check=True):
        return self.chain.pretrain(workdir, *self.flags(*others), check=check)

    def last_validation(self, name):
        return read_lines(self.directory / name / "metrics.jsonl")[-1]


@pytest.fixture(scope="module")
def household(chain, made_once):
    return Household(chain, made_once("household", lambda directory: Household(chain, directory).make()))


def test_the_student_learns_and_is_nearer_to_its_teacher_than_without_it(household):
    student, alone = household.last_validation("student"), household.last_validation("alone")
    assert student["step"] == alone["step"] == 60
    assert student["masked_lm_loss"] < student["unigram_loss"] - 0.1
    assert student["masked_lm_loss"] < alone["masked_lm_loss"] - 0.1
    assert student["teacher_kl"] < alone["teacher_kl"] / 2
    assert student["teacher_cosine"] < alone["teacher_cosine"] / 2


def test_killed_it_goes_on_to_the_same_bits_with_its_teacher_elsewhere(household, tmp_path):
    process = household.chain.start_pretrain(tmp_path / "run", *household.flags(*household.of_teacher(), *BEGINS))
    checkpoints = tmp_path / "run" / "checkpoints"
    while process.poll() is None and not (checkpoints / "20").exists():
        process.stderr.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "the run has ended before the kill met it"
    shutil.copytree(household.teacher, tmp_path / "moved")
    done = household.train(tmp_path / "run", *household.of_teacher(tmp_path / "moved"), *BEGINS)
    assert any(f"from step {step} to 60" in done.stderr for step in (20, 40))
    states = [final_state(workdir) for workdir in (tmp_path / "run", household.directory / "student")]
    for mine, theirs in zip(*map(leaves, states), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def leaves(state):
    adam = state["opt_state"]["adam"]
    return [array for tree in (state["params"], adam.mu, adam.nu) for array in flatten(tree).values()]


def test_another_teacher_is_noticed(household, tmp_path):
    student, other = household.directory / "student", tmp_path / "other"
    shutil.copytree(household.teacher, other)
    shutil.rmtree(other / "checkpoints" / "240")  # the one before is the newest now
    before = (student / "teacher.json").read_text()
    done = household.train(student, *household.of_teacher(other), *BEGINS, check=False)
    assert done.returncode == 1
    digest = json.loads(before)["digest"]
    assert f"{student} was started with the teacher {household.teacher} (digest {digest})" in done.stderr
    assert f"--config.teacher is {other} (digest " in done.stderr
    assert (student / "teacher.json").read_text() == before


def test_no_checkpoint_has_the_teacher(household):
    sizes = {}
    for name in ("student", "alone"):
        files = (household.directory / name / "checkpoints" / "60").rglob("*")
        names = [path for path in files if path.name == "_METADATA"]
        sizes[name] = {key for path in names for key in json.loads(path.read_text())["tree_metadata"]}
    assert sizes["student"]
    assert sizes["student"] == sizes["alone"]
    assert not any("teacher" in name or "layer_1" in name for name in sizes["student"])


def test_it_is_evaluated_without_its_teacher(household):
    scores = json.loads(household.chain.run("evaluate", f"--workdir={household.directory}/student").stdout)
    assert scores["masked_lm_loss"] == pytest.approx(household.last_validation("student")["masked_lm_loss"], rel=0.05)


def test_the_authors_masks_and_positions(household, tmp_path):
    """Rare words more often, a table of positions that stays: the teacher's, with its first token type."""
    own = ("--config.data.masking=distilbert", "--config.distillation.freeze_positions=true")
    household.train(tmp_path / "run", *household.of_teacher(), *BEGINS, *own)
    assert list((household.directory / "records" / "index").glob("token_counts-*.npy"))
    table, teachers = (
        final_state(workdir)["params"]["encoder"]["embeddings"] for workdir in (tmp_path / "run", household.teacher)
    )
    expected = teachers["position"]["embedding"] + teachers["token_type"]["embedding"][:1]
    np.testing.assert_array_equal(table["position"]["embedding"], expected)
    assert (table["word"]["embedding"] != teachers["word"]["embedding"]).any()
    scores = json.loads(household.chain.run("evaluate", f"--workdir={tmp_path}/run").stdout)
    last = read_lines(tmp_path / "run" / "metrics.jsonl")[-1]
    assert scores["masked_lm_loss"] == pytest.approx(last["masked_lm_loss"], rel=0.05)
    everywhere = household.last_validation("student")["unigram_loss"]
    assert scores["unigram_loss"] > everywhere + 0.2  # rarer words than those of the original's masks


def test_transformers_fills_in_masks_with_it(household, tmp_path):
    transformers = pytest.importorskip("transformers")
    flags = (f"--workdir={household.directory}/student", "--format=huggingface", f"--output={tmp_path}/hf")
    household.chain.run("export", *flags)
    model, loading = transformers.DistilBertForMaskedLM.from_pretrained(tmp_path / "hf", output_loading_info=True)
    assert not any(loading[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    fill = transformers.pipeline("fill-mask", model=model, tokenizer=tokenizer)
    found = fill("the state of [MASK] is in the north")
    assert len(found) == 5
    assert found[0]["score"] > 1 / 400
