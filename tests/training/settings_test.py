"""Settings at the ends of their ranges train to the end."""

import json

import pytest

from bert_jax.workdir.run_directory import read_config

BILLION = 10**9
ENDS = {
    "phases[0].steps": 4,
    "model.layer_norm_eps": 1e-30,
    "optimizer.epsilon": 1e-30,
    "optimizer.clip_norm": 1e9,
    "optimizer.weight_decay": 0.0,
    "optimizer.warmup_steps": 0,
    "data.read_threads": 0,
    "data.prefetch_batches": 0,
    "data.skip_corrupt": BILLION,
    "train.seed": 2**32 - 1,
    "train.log_every_steps": BILLION,
    "train.checkpoint_every_steps": BILLION,
    "train.keep_checkpoints": 1_000_000,
    "train.max_skipped_steps": BILLION,
    "train.spike_threshold": 0.0,
    "evaluation.every_steps": BILLION,
    "evaluation.max_batches": BILLION,
}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("sentences", [0, 100])
def test_the_ends_of_the_ranges_train(chain, tmp_path, sentences):
    settings = ENDS | {"evaluation.report_sentences": sentences}
    done = chain.pretrain(tmp_path / "w", *(f"--config.{name}={value}" for name, value in settings.items()))
    assert "trained to step 4" in done.stderr
    assert len(json.loads((tmp_path / "w" / "samples.json").read_text())) == min(sentences, 100)
    assert (tmp_path / "w" / "report.html").exists()
    lines = [json.loads(line) for line in (tmp_path / "w" / "metrics.jsonl").read_text().splitlines()]
    assert all(line["masked_lm_loss"] > 0 for line in lines)
    assert {line["split"] for line in lines} == {"train", "validation"}
    assert read_config(tmp_path / "w").train.seed == 2**32 - 1
