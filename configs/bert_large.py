"""BERT-large as in the paper (arXiv 1810.04805, appendix A.2): 1,000,000 steps of 256 sequences, 90 % at 128 tokens.

    python -m bert_jax.build_records --input=TEXT --vocab=VOCAB --output=records/128 --dupe_factor=10 \\
        --holdout=0.001
    python -m bert_jax.build_records --input=TEXT --vocab=VOCAB --output=records/512 --dupe_factor=10 \\
        --holdout=0.001 --max_seq_length=512 --max_predictions_per_seq=76
    python -m bert_jax.pretrain --config=configs/bert_large.py --workdir=DIR

To try it: --config.scale=0.001 is the same run, learning-rate schedule included, at 1/1000 of its length. The paper's
text is English Wikipedia and BooksCorpus, 3.3 billion words, with a vocabulary of 30,522.

Hardware and time. The paper: 64 TPU chips (16 Cloud TPUs), 4 days. It is 7.9e19 floating-point operations: 22 hours on
8 A100 if they reach 40 % of their peak (arithmetic, not a measurement). Where 256 sequences do not fit, set
--config.train.accumulation_steps or --config.train.remat=full; weights and moments, 4 GB, --config.mesh.fsdp shards.

What to expect. Held-out masked-word perplexity 3.23, that is masked_lm_loss 1.17 (paper, table 6); next-sentence
accuracy 0.97 to 0.98 (paper, section 3.1). Fine-tuned, test score: GLUE average 82.1; development: SQuAD 1.1 F1 90.9.

One learning-rate schedule over both phases, so that the second begins at 1e-5; why, and how to have another, is in
configs/bert_base.py, as is what is not the original (bfloat16, and clipping: --config.optimizer.clip_pieces=128 for the
original's, with its 128 TPU cores of 2 sequences each).
"""

from bert_jax.config import Config, DataConfig, EvaluationConfig, OptimizerConfig, PhaseConfig, TrainConfig, bert_large


def get_config() -> Config:
    """24 layers of 1024: 336,226,108 parameters with a vocabulary of 30,522."""
    return Config(
        model=bert_large(),
        phases=(
            PhaseConfig(steps=900_000, global_batch_size=256, max_seq_length=128),
            PhaseConfig(steps=100_000, global_batch_size=256, max_seq_length=512),
        ),
        data=DataConfig(records="records/{max_seq_length}"),
        optimizer=OptimizerConfig(learning_rate=1e-4, warmup_steps=10_000),
        train=TrainConfig(dtype="bfloat16", log_every_steps=100, checkpoint_every_steps=5000),
        evaluation=EvaluationConfig(every_steps=10_000, max_batches=100),
    )
