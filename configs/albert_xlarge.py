"""ALBERT-xlarge (arXiv 1909.11942, section 4.1): twice as wide as BERT-large, with a sixth of its parameters.

    python -m bert_jax.pretrain --config=configs/albert_xlarge.py --workdir=DIR

Vocabulary and records, the recipe and how to try it are those of configs/albert_base.py.

Hardware and time. It is 1.9e21 floating-point operations: 30 days on 8 A100 if they reach 30 % of their peak
(arithmetic, not a measurement).

What to expect. Fine-tuned, the mean of SQuAD 1.1 and 2.0, MNLI, SST-2 and RACE is 85.5, where BERT-large has 85.2
(paper, table 2). Version 2, without dropout and with --config.phases[0].steps=3000000 on more text, has 87.9.
"""

from bert_jax.config import (
    Config,
    DataConfig,
    EvaluationConfig,
    OptimizerConfig,
    PhaseConfig,
    TrainConfig,
    albert_xlarge,
)


def get_config() -> Config:
    """24 times one layer of 2048: 59,021,490 parameters with a vocabulary of 30,000."""
    return Config(
        model=albert_xlarge(),
        phases=(PhaseConfig(steps=125_000, global_batch_size=4096, max_seq_length=512),),
        data=DataConfig(records="records/{max_seq_length}"),
        optimizer=OptimizerConfig(learning_rate=1.76e-3, warmup_steps=3125, trust_ratio=True),
        train=TrainConfig(dtype="bfloat16", remat="dots", log_every_steps=100, checkpoint_every_steps=1000),
        evaluation=EvaluationConfig(every_steps=5000, max_batches=10),
    )
