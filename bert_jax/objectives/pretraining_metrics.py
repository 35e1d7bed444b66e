"""The metrics of pretraining, the headline first."""

from bert_jax.config.data import Pairs
from bert_jax.config.pair_kinds import PAIR_KINDS
from bert_jax.objectives.metrics import Metric
from bert_jax.objectives.teacher_metrics import COSINE, KL

MASKED_LM_METRICS = (
    Metric(
        "masked_lm_loss",
        "Masked tokens: loss (nats)",
        "mlm_loss",
        unit="nats",
        better="lower",
        baseline="unigram_loss",
        baseline_title="unigram floor",
        baseline_short_name="unigram",
    ),
    Metric(
        "masked_lm_accuracy",
        "Masked tokens: accuracy",
        "mlm_acc",
        unit="share",
        better="higher",
        baseline="unigram_accuracy",
        baseline_title="commonest word",
        baseline_short_name="unigram",
        in_progress="bar",
    ),
)


def pair_metrics(pairs: Pairs) -> tuple[Metric, ...]:
    """Those of a kind of pairs; none where there are no pairs."""
    kind = PAIR_KINDS.get(pairs)
    return _of_pairs(kind.name, kind.title, kind.short_name) if kind else ()


def _of_pairs(name: str, title: str, short_name: str) -> tuple[Metric, ...]:
    return (
        Metric(
            f"{name}_loss",
            f"{title}: loss (nats)",
            f"{short_name}_loss",
            unit="nats",
            better="lower",
            baseline=f"majority_{name}_loss",
            baseline_title="majority floor",
            has_chart=False,  # the accuracy beside it shows as much
            baseline_short_name="majority",
        ),
        Metric(
            f"{name}_accuracy",
            f"{title}: accuracy",
            f"{short_name}_acc",
            unit="share",
            better="higher",
            baseline=f"majority_{name}_accuracy",
            baseline_title="commoner answer",
            baseline_short_name="majority",
            digits=2,
            in_progress="log",
        ),
    )


HEADLINE = MASKED_LM_METRICS[0]
METRICS = (  # of whatever run; it has some of them
    *MASKED_LM_METRICS,
    *(metric for pairs in PAIR_KINDS for metric in pair_metrics(pairs)),
    KL,
    COSINE,
)
