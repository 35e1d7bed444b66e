"""Runs on other masks or records, evaluated on the same held-out words (evaluation.records)."""

import json
import shutil

import pytest

from bert_jax.reporting.run_records import read_records


def last_validation(workdir):
    return json.loads((workdir / "metrics.jsonl").read_text().splitlines()[-1])


FEW = ("--config.phases[0].steps=2",)
OTHERS = ("--config.data.masking=roberta", "--config.data.masked_lm_prob=0.4", "--config.model.next_sentence=false")


def evaluated(chain, workdir, *flags):
    return json.loads(chain.run("evaluate", f"--workdir={workdir}", *flags).stdout)["unigram_loss"]


def test_the_words_are_those_of_the_records_that_are_given(chain, finished_run, tmp_path):
    chain.pretrain(tmp_path / "theirs", *FEW, *OTHERS, f"--config.evaluation.records={chain.records(32)}")
    as_trained = last_validation(tmp_path / "theirs")["unigram_loss"]
    moved = shutil.copytree(chain.records(32), tmp_path / "moved")
    own_masks, named, drawn = (
        evaluated(chain, tmp_path / "theirs", *flags)
        for flags in ((), (f"--records={chain.records(32)}",), (f"--records={moved}",))
    )
    assert as_trained == own_masks == named == evaluated(chain, finished_run) != drawn
    (theirs,), (own,) = read_records(tmp_path / "theirs"), read_records(finished_run)
    assert theirs == {"train": own["train"], "validation": own["validation"]}  # they are its own
    chain.pretrain(tmp_path / "others", *FEW, *OTHERS, f"--config.evaluation.records={moved}")
    assert read_records(tmp_path / "others") == [{"train": own["train"], "evaluated": own["validation"]}]


@pytest.mark.slow
def test_other_pairs_and_vocabularies_are_refused(chain, tmp_path):
    vocab = ("--kind=wordpiece", "--vocab_size=400")
    chain.run("build_vocab", f"--input={chain.corpus}", f"--output={tmp_path}/vocab", *vocab)
    for name, flags, complaint in (
        ("words", (f"--vocab={tmp_path}/vocab",), "has another vocabulary than the records that the run is trained on"),
        ("pairs", (f"--vocab={chain.vocab}", "--pairs=sop"), "was built with --pairs=sop and the records that the run"),
    ):
        sizes = ("--max_seq_length=32", "--max_predictions_per_seq=6", "--holdout=0.1", "--num_workers=1")
        chain.run("build_records", f"--input={chain.corpus}", f"--output={tmp_path}/{name}", *sizes, *flags)
        other = f"--config.evaluation.records={tmp_path}/{name}"
        done = chain.pretrain(tmp_path / "run", *FEW, other, check=False)
        assert done.returncode == 1
        assert f"error: --config.evaluation.records={tmp_path}/{name} {complaint}" in done.stderr
        assert not (tmp_path / "run").exists()
