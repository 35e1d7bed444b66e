"""A very small BERT on sequences of 32 tokens: the config of the tests that run the commands."""

from bert_jax.config import Config, EvaluationConfig, ModelConfig, OptimizerConfig, PhaseConfig, TrainConfig


def get_config():
    return Config(
        model=ModelConfig(
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=64,
        ),
        phases=(PhaseConfig(steps=20, global_batch_size=16, max_seq_length=32),),
        optimizer=OptimizerConfig(learning_rate=2e-3, warmup_steps=10),
        train=TrainConfig(log_every_steps=5, checkpoint_every_steps=10),
        evaluation=EvaluationConfig(every_steps=20),
    )
