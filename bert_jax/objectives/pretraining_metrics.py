"""The metrics of pretraining, the headline first."""

from bert_jax.objectives.metrics import Metric

MASKED_LM_METRICS = (
    Metric(
        "masked_lm_loss",
        "Masked words: loss (nats)",
        "mlm_loss",
        unit="nats",
        better="lower",
        baseline="unigram_loss",
        baseline_title="unigram floor",
        baseline_short_name="unigram",
    ),
    Metric(
        "masked_lm_accuracy",
        "Masked words: accuracy",
        "mlm_acc",
        unit="share",
        better="higher",
        baseline="unigram_accuracy",
        baseline_title="commonest word",
        baseline_short_name="unigram",
        in_progress="bar",
    ),
)
METRICS = (
    *MASKED_LM_METRICS,
    Metric(
        "next_sentence_loss",
        "Next sentence: loss (nats)",
        "nsp_loss",
        unit="nats",
        better="lower",
        baseline="majority_next_sentence_loss",
        baseline_title="majority floor",
        has_chart=False,  # the accuracy beside it shows as much
        baseline_short_name="majority",
    ),
    Metric(
        "next_sentence_accuracy",
        "Next sentence: accuracy",
        "nsp_acc",
        unit="share",
        better="higher",
        baseline="majority_next_sentence_accuracy",
        baseline_title="commoner answer",
        baseline_short_name="majority",
        digits=2,
        in_progress="log",
    ),
)
