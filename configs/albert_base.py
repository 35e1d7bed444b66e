"""ALBERT-base as in the paper (arXiv 1909.11942, section 4.1): LAMB, 125,000 steps of 4,096 sequences of 512 tokens.

    python -m bert_jax.build_vocab --input=TEXT --output=VOCAB --kind=unigram --vocab_size=30000
    python -m bert_jax.build_records --input=TEXT --vocab=VOCAB --output=records/512 --pairs=sop --ngram=3 \\
        --dupe_factor=40 --max_seq_length=512 --max_predictions_per_seq=20 --holdout=0.001
    python -m bert_jax.pretrain --config=configs/albert_base.py --workdir=DIR

To try it: --config.scale=0.001 is the same run, learning-rate schedule included, at 1/1000 of its length, and
--config.phases[0].global_batch_size=64 makes its batches small. The text is BERT's. Twenty predictions of 512 tokens,
as the authors had (google-research/albert#51), are 6 % of the words that the records' masks could take; 77 are 15 %.

Hardware and time. The paper: 64 to 512 TPU v3 chips, for all sizes. It is 1.4e20 floating-point operations: 2 days on
8 A100 if they reach 30 % of their peak (arithmetic, not a measurement). Layers that share their weights take as long as
others: what is saved is memory for weights and optimizer, and what goes over the wire, here nine tenths. On few
devices, --config.train.accumulation_steps splits the batch.

What to expect. Fine-tuned, the mean of SQuAD 1.1 and 2.0, MNLI, SST-2 and RACE is 80.1, where BERT-base has 82.3
(paper, table 2). The order of sentences is told right in 86.5 % of the pairs (table 5).

Version 2 of the published models has no dropout, more steps and more text: --config.model.hidden_dropout_prob=0
--config.model.attention_probs_dropout_prob=0 --config.phases[0].steps=10000000 (google-research/albert, README), which
gives 82.3. Text and steps matter for that: on the paper's own text, dropout is all that it takes away.

What is not the original: products and activations are bfloat16, as in configs/bert_base.py. Rate, weight decay, epsilon
and clipping are those of google-research/albert run_pretraining.py and lamb_optimizer.py, without bias correction.
"""

from bert_jax.config import Config, DataConfig, EvaluationConfig, OptimizerConfig, PhaseConfig, TrainConfig, albert_base


def get_config() -> Config:
    """12 times one layer of 768: 11,813,810 parameters with a vocabulary of 30,000."""
    return Config(
        model=albert_base(),
        phases=(PhaseConfig(steps=125_000, global_batch_size=4096, max_seq_length=512),),
        data=DataConfig(records="records/{max_seq_length}"),
        optimizer=OptimizerConfig(learning_rate=1.76e-3, warmup_steps=3125, trust_ratio=True),
        train=TrainConfig(dtype="bfloat16", log_every_steps=100, checkpoint_every_steps=1000),
        evaluation=EvaluationConfig(every_steps=5000, max_batches=10),
    )
