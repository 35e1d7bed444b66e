"""Texts and ids that belong together, by the commands that people type: a toy language whose words have ids."""

import json
import random

import pytest

from bert_jax.data.manifest import read_manifest
from tests.training.conftest import read_lines

WORDS = ["apple", "bread", "cook", "dog", "egg", "fish", "garlic", "honey"]  # word n has the ids 2n and 2n + 1
SIZES = "--max_seq_length=12", "--max_predictions_per_seq=2"


class Aligned:
    """The commands on a corpus of three words and an id for each a document."""

    def __init__(self, chain, directory):
        self.chain, self.directory, self.records = chain, directory, directory / "records"
        self.text, self.vocab = directory / "text.txt", directory / "vocab.txt"

    def make(self):
        self.vocab.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]) + "\n")
        chance, lines = random.Random(0), []
        for _ in range(600):
            chosen = chance.sample(range(len(WORDS)), 3)
            ids = [str(2 * word + chance.randrange(2)) for word in chosen]
            lines.append(f"{' '.join(WORDS[word] for word in chosen)}\t{' '.join(ids)}\n")
        self.text.write_text("\n".join(lines))
        self.build(self.text, self.records)

    def build(self, text, output, *flags, check=True):
        vocab = f"--vocab={self.vocab}+ids:{2 * len(WORDS)}"
        given = f"--input={text}", vocab, f"--output={output}", "--num_workers=1", "--holdout=0.2", "--pairs=aligned"
        return self.chain.run("build_records", *given, *SIZES, *flags, check=check)


@pytest.fixture(scope="module")
def aligned(chain, made_once):
    return Aligned(chain, made_once("aligned", lambda directory: Aligned(chain, directory).make()))


@pytest.mark.slow
def test_a_model_learns_which_ids_are_a_texts(aligned, tmp_path):
    manifest = read_manifest(aligned.records)
    assert (manifest.pairs, manifest.vocab_size) == ("aligned", 5 + 3 * len(WORDS))
    counts = manifest.statistics["train"]
    assert 0.45 < counts["random_next"] / counts["instances"] < 0.55
    workdir = tmp_path / "train"
    flags = aligned.chain.pretrain_flags(workdir, "aligned.py")
    aligned.chain.run("pretrain", *flags, f"--config.data.records={aligned.records}")
    held_out = read_lines(workdir / "metrics.jsonl")[-1]
    assert held_out["split"] == "validation"
    assert held_out["majority_alignment_accuracy"] < 0.6
    assert held_out["alignment_accuracy"] > 0.8
    # A masked token or id is known by what it is aligned with: in half of the pairs, as one of two ids.
    assert held_out["masked_lm_loss"] < 0.8 * held_out["unigram_loss"]
    samples = json.loads((workdir / "samples.json").read_text())
    assert {sample["alignment"]["label"] for sample in samples} == {"aligned", "not_aligned"}
    page = (workdir / "report.html").read_text()
    assert "Alignment: accuracy" in page
    assert "to their being aligned" in page
    assert "Next sentence" not in page


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("apple 3", r"bad.txt:3: 'apple 3' has no tab; with --pairs=aligned, write a text, a tab and its ids"),
        ("dog\t3 16", r"bad.txt:3: '16' is no id from 0 to 15; correct it, or N in --vocab=VOCAB+ids:N"),
    ],
)
def test_a_wrong_line_is_named(aligned, tmp_path, line, message):
    (tmp_path / "bad.txt").write_text(f"dog\t6 7\n\n{line}\n")
    done = aligned.build(tmp_path / "bad.txt", tmp_path / "records", check=False)
    assert done.returncode == 1
    assert message in done.stderr.splitlines()[-1]
    assert not (tmp_path / "records" / "records.json").exists()


def test_texts_and_ids_stay_together(aligned, tmp_path):
    done = aligned.build(aligned.text, tmp_path / "records", "--split_sentences", check=False)
    assert done.returncode == 1
    assert "--split_sentences would part texts from their ids (--pairs=aligned); leave it out" in done.stderr
