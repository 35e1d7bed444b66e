"""Which curves a run has."""

from bert_jax.objectives.pretraining_metrics import METRICS
from bert_jax.reporting.charts import charts
from bert_jax.reporting.run_history import Run


def run_of(*lines, phases=()):
    return Run("run", {"phases": list(phases)}, [{"split": "train", "time": 0.0} | line for line in lines], [])


def test_a_chart_for_every_metric_that_was_logged_in_the_page_s_order():
    run = run_of({"step": 1, "tokens_per_second": 9.0, "masked_lm_loss": 8.0, "phase": 0})
    assert [chart.curve.name for chart in charts(run, METRICS)] == ["masked_lm_loss", "tokens_per_second"]
    assert charts(run_of(), METRICS) == []


def test_points_of_both_splits_and_the_floor_of_the_held_out_one():
    held_out = {"split": "validation", "step": 20, "masked_lm_accuracy": 0.3, "unigram_accuracy": 0.06}
    [chart] = charts(run_of({"step": 10, "masked_lm_accuracy": 0.2}, held_out), METRICS)
    assert (chart.train, chart.held_out, chart.floor) == ([(10, 0.2)], [(20, 0.3)], [(20, 0.06)])


def test_a_phase_is_marked_once_it_has_begun():
    phases = [{"steps": 100, "max_seq_length": 128}, {"steps": 10, "max_seq_length": 512}]
    for last_step, marks in ((90, []), (100, []), (101, [(100, "512 tokens")])):
        [chart] = charts(run_of({"step": last_step, "learning_rate": 1.0}, phases=phases), METRICS)
        assert chart.phases == marks
