"""ALBERT-large (arXiv 1909.11942, section 4.1): the width of BERT-large with one layer's weights for all 24.

    python -m bert_jax.pretrain --config=configs/albert_large.py --workdir=DIR

Vocabulary and records, the recipe and how to try it are those of configs/albert_base.py.

Hardware and time. It is 5.0e20 floating-point operations: 8 days on 8 A100 if they reach 30 % of their peak
(arithmetic, not a measurement).

What to expect. Fine-tuned, the mean of SQuAD 1.1 and 2.0, MNLI, SST-2 and RACE is 82.4, where BERT-large has 85.2
(paper, table 2). Version 2, without dropout and with --config.phases[0].steps=3000000 on more text, has 85.7.
"""

from bert_jax.config import (
    Config,
    DataConfig,
    EvaluationConfig,
    OptimizerConfig,
    PhaseConfig,
    TrainConfig,
    albert_large,
)


def get_config() -> Config:
    """24 times one layer of 1024: 17,847,474 parameters with a vocabulary of 30,000."""
    return Config(
        model=albert_large(),
        phases=(PhaseConfig(steps=125_000, global_batch_size=4096, max_seq_length=512),),
        data=DataConfig(records="records/{max_seq_length}"),
        optimizer=OptimizerConfig(learning_rate=1.76e-3, warmup_steps=3125, trust_ratio=True),
        train=TrainConfig(dtype="bfloat16", log_every_steps=100, checkpoint_every_steps=1000),
        evaluation=EvaluationConfig(every_steps=5000, max_batches=10),
    )
