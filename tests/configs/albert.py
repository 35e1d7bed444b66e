"""A very small ALBERT on sequences of 64 tokens, with the recipe of configs/albert_base.py at a smaller size."""

from bert_jax.config import Config, EvaluationConfig, ModelConfig, OptimizerConfig, PhaseConfig, TrainConfig


def get_config():
    return Config(
        model=ModelConfig(
            hidden_size=64,
            num_hidden_layers=3,
            num_attention_heads=4,
            intermediate_size=128,
            max_position_embeddings=64,
            embedding_size=16,
            num_hidden_groups=1,
            hidden_act="gelu_tanh",
        ),
        phases=(PhaseConfig(steps=60, global_batch_size=32, max_seq_length=64),),
        optimizer=OptimizerConfig(learning_rate=1e-2, warmup_steps=20, trust_ratio=True),
        train=TrainConfig(log_every_steps=5, checkpoint_every_steps=20),
        evaluation=EvaluationConfig(every_steps=60),
    )
