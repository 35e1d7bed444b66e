"""RoBERTa-large as in the paper (arXiv 1907.11692): 500,000 steps of 8,192 sequences of 512 tokens, masked LM alone.

    python -m bert_jax.pretrain --config=configs/roberta_large.py --workdir=DIR

Records are made as for configs/roberta_base.py, which also has what else can be tried, and what is not the original. To
try it: --config.scale=0.001 is the same run at 1/1000 of its length, and --config.phases[0].global_batch_size=64 makes
its batches small.

Hardware and time. The paper: 1,024 V100, a day for each 100,000 steps. It is 4.1e21 floating-point operations: 114
hours on 64 A100 if they reach 50 % of their peak (arithmetic, not a measurement). On fewer devices than hold 8,192
sequences, set --config.train.accumulation_steps or --config.train.remat=full.

What to expect (paper, table 4). Fine-tuned, development, SQuAD 1.1 and 2.0 F1, MNLI-m, SST-2: with 16 GB of text and
100,000 steps 93.6, 87.3, 89.0, 95.3; with 160 GB 94.0, 87.7, 89.3, 95.6; 300,000 steps 94.4, 88.7, 90.0, 96.1;
500,000 steps 94.6, 89.4, 90.2, 96.4.

The settings (paper, table 9). Rate 4e-4 after 30,000 steps of warm-up, then linear from there; Adam .98 with bias
correction; weight decay .01 on all parameters; no clipping.
"""

from bert_jax.config import (
    Config,
    DataConfig,
    EvaluationConfig,
    OptimizerConfig,
    PhaseConfig,
    TrainConfig,
    roberta_large,
)


def get_config() -> Config:
    """24 layers of 1024: 355,408,985 parameters with a vocabulary of 50,265."""
    return Config(
        model=roberta_large(),
        phases=(PhaseConfig(steps=500_000, global_batch_size=8192, max_seq_length=512),),
        data=DataConfig(records="records/{max_seq_length}", masking="roberta"),
        optimizer=OptimizerConfig(
            learning_rate=4e-4,
            warmup_steps=30_000,
            decay_from_peak=True,
            beta2=0.98,
            bias_correction=True,
            decay_all=True,
            clip_norm=0.0,
        ),
        train=TrainConfig(dtype="bfloat16", log_every_steps=100, checkpoint_every_steps=1000),
        evaluation=EvaluationConfig(every_steps=5000, max_batches=10),
    )
