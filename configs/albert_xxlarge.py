"""ALBERT-xxlarge (arXiv 1909.11942, section 4.1): 12 times one layer of 4096, four times as wide as BERT-large's.

    python -m bert_jax.pretrain --config=configs/albert_xxlarge.py --workdir=DIR

Vocabulary and records, the recipe and how to try it are those of configs/albert_base.py.

Hardware and time. It is 3.6e21 floating-point operations: 56 days on 8 A100 if they reach 30 % of their peak
(arithmetic, not a measurement). The paper's ran at .3 of the speed of BERT-large; in equal time, 32 hours for it and
34 for BERT-large, it reaches 88.7 and BERT-large 87.2 (table 6).

What to expect. Fine-tuned, the mean of SQuAD 1.1 and 2.0, MNLI, SST-2 and RACE is 88.7 (paper, table 2). It is the one
size that has no dropout from the start: after 1,000,000 steps it does not overfit, and without dropout it gains .3
(section 4.8). The published first version has 1,500,000 steps on more text and 91.0, the second 3,000,000 and 90.9.
"""

from bert_jax.config import (
    Config,
    DataConfig,
    EvaluationConfig,
    OptimizerConfig,
    PhaseConfig,
    TrainConfig,
    albert_xxlarge,
)


def get_config() -> Config:
    """12 times one layer of 4096: 223,158,450 parameters with a vocabulary of 30,000."""
    return Config(
        model=albert_xxlarge(),
        phases=(PhaseConfig(steps=125_000, global_batch_size=4096, max_seq_length=512),),
        data=DataConfig(records="records/{max_seq_length}"),
        optimizer=OptimizerConfig(learning_rate=1.76e-3, warmup_steps=3125, trust_ratio=True),
        train=TrainConfig(dtype="bfloat16", remat="dots", log_every_steps=100, checkpoint_every_steps=1000),
        evaluation=EvaluationConfig(every_steps=5000, max_batches=10),
    )
