"""BERT-base as in the paper (arXiv 1810.04805, appendix A.2): 1,000,000 steps of 256 sequences, 90 % at 128 tokens.

    python -m bert_jax.build_records --input=TEXT --vocab=VOCAB --output=records/128 --dupe_factor=10 \\
        --holdout=0.001
    python -m bert_jax.build_records --input=TEXT --vocab=VOCAB --output=records/512 --dupe_factor=10 \\
        --holdout=0.001 --max_seq_length=512 --max_predictions_per_seq=76
    python -m bert_jax.pretrain --config=configs/bert_base.py --workdir=DIR

To try it: --config.scale=0.001 is the same run, learning-rate schedule included, at 1/1000 of its length. The paper's
text is English Wikipedia and BooksCorpus, 3.3 billion words, with a vocabulary of 30,522.

Hardware and time. The paper: 16 TPU chips (4 Cloud TPUs), 4 days. It is 2.2e19 floating-point operations: 8 hours on
8 A100 if they reach 30 % of their peak (arithmetic, not a measurement). On fewer devices than hold 256 sequences, set
--config.train.accumulation_steps.

What to expect. Held-out masked-word perplexity 3.99, that is masked_lm_loss 1.38 (paper, table 6); next-sentence
accuracy 0.97 to 0.98 (paper, section 3.1). Fine-tuned, test score: GLUE average 79.6; development: SQuAD 1.1 F1 88.5.

One learning-rate schedule over both phases. Nobody has published the rate of the 512-token phase (asked and not
answered in google-research/bert#586, #721 and #969). The paper describes one training of 1,000,000 steps with one
warm-up and one linear decay, so that the second phase begins at a tenth of the rate, 1e-5; it also keeps the weights
from being shaken up again for the last tenth of the steps. A second cycle, which others have used
(ymcui/Chinese-BERT-wwm#106), is --config.phases[1].learning_rate=1e-4 --config.phases[1].warmup_steps=1000.

What is not the original: products and activations are bfloat16 (weights, moments, LayerNorm statistics, softmax and
loss are float32; --config.train.dtype=float32 for all), and the gradient of the whole batch is clipped. The original
clipped on each of its 32 TPU cores before the sum: --config.optimizer.clip_pieces=32 does exactly that, at some cost of
speed where a device then works through its rows a few at a time.
"""

from bert_jax.config import Config, DataConfig, EvaluationConfig, OptimizerConfig, PhaseConfig, TrainConfig, bert_base


def get_config() -> Config:
    """12 layers of 768: 110,106,428 parameters with a vocabulary of 30,522."""
    return Config(
        model=bert_base(),
        phases=(
            PhaseConfig(steps=900_000, global_batch_size=256, max_seq_length=128),
            PhaseConfig(steps=100_000, global_batch_size=256, max_seq_length=512),
        ),
        data=DataConfig(records="records/{max_seq_length}"),
        optimizer=OptimizerConfig(learning_rate=1e-4, warmup_steps=10_000),
        train=TrainConfig(dtype="bfloat16", log_every_steps=100, checkpoint_every_steps=5000),
        evaluation=EvaluationConfig(every_steps=10_000, max_batches=100),
    )
