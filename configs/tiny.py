"""A small BERT by the paper's recipe, that learns visibly in minutes on a laptop; configs/tiny_fast.py learns more.

    python -m bert_jax.pretrain --config=configs/tiny.py --workdir=DIR --config.data.records=RECORDS_DIR

What to expect. On the documentation of Python and of its packages, held-out masked_lm_loss ends about half a nat below
the unigram floor, and masked tokens are guessed nearly three times as often as by always saying the commonest.

What is not the paper's, besides the size. No dropout, since hardly a sequence is seen twice. Initial weights are three
times as wide, as a hidden size of 128 asks for: with 0.02 the model is slow to leave the unigram floor.
"""

from bert_jax.config import Config, DataConfig, EvaluationConfig, ModelConfig, OptimizerConfig, PhaseConfig, TrainConfig


def get_config() -> Config:
    """2 layers of 128 on sequences of 64 tokens."""
    return Config(
        model=ModelConfig(
            hidden_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=512,
            max_position_embeddings=128,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            initializer_range=0.06,
        ),
        phases=(PhaseConfig(steps=2500, global_batch_size=32, max_seq_length=64),),
        data=DataConfig(records="runs/quickstart/records"),
        optimizer=OptimizerConfig(learning_rate=1e-3, warmup_steps=500),
        train=TrainConfig(log_every_steps=50, checkpoint_every_steps=500),
        evaluation=EvaluationConfig(every_steps=250, max_batches=32),
    )
