"""Scores of a pretraining run, as evaluate prints them."""

import json


def no_json(constant):
    raise AssertionError(f"{constant} is no JSON")


def test_a_score_of_a_run_that_diverged_is_null(chain, tmp_path):
    wild = ("--config.optimizer.learning_rate=100", "--config.optimizer.weight_decay=100")
    flags = ("--config.phases[0].steps=6", "--config.optimizer.warmup_steps=0", *wild)
    chain.pretrain(tmp_path / "run", *flags)  # with its report, which has no guesses
    assert json.loads((tmp_path / "run" / "samples.json").read_text()) == []
    done = chain.run("evaluate", f"--workdir={tmp_path}/run", f"--records={chain.records(32)}")
    scores = json.loads(done.stdout, parse_constant=no_json)
    assert scores["loss"] is None
    assert (scores["step"], scores["unigram_loss"] > 0) == (6, True)
