"""The small BERT of configs/tiny.py by a recipe that learns faster: the run of `launch/pretrain.sh` without arguments.

    launch/pretrain.sh
    python -m bert_jax.pretrain --config=configs/tiny_fast.py --workdir=DIR --config.data.records=RECORDS_DIR

What differs from configs/tiny.py: rotary positions, by which a small model finds a word's neighbours within some
hundred steps; Muon for the layers' matrices, and AdamW (.9, .98) with bias correction for the rest; four times the
rate. What single changes give, benchmarks/recipes.py measures. Pairs of sentences stay: their head learns, and words
lose nothing by it.
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
            position_embedding="rotary",
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            initializer_range=0.06,
        ),
        phases=(PhaseConfig(steps=2500, global_batch_size=32, max_seq_length=64),),
        data=DataConfig(records="runs/quickstart/records"),
        optimizer=OptimizerConfig(
            learning_rate=4e-3,
            warmup_steps=250,
            beta2=0.98,
            bias_correction=True,
            muon=True,
        ),
        train=TrainConfig(log_every_steps=50, checkpoint_every_steps=500),
        evaluation=EvaluationConfig(every_steps=250, max_batches=32),
    )
