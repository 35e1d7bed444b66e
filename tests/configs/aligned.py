"""A very small BERT on texts and ids of 12 tokens together; without dropout, so that it learns in seconds."""

from bert_jax.config import Config, EvaluationConfig, ModelConfig, OptimizerConfig, PhaseConfig, TrainConfig


def get_config():
    return Config(
        model=ModelConfig(
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=12,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            initializer_range=0.1,
        ),
        phases=(PhaseConfig(steps=1500, global_batch_size=32, max_seq_length=12),),
        optimizer=OptimizerConfig(learning_rate=3e-3, warmup_steps=50),
        train=TrainConfig(log_every_steps=100, checkpoint_every_steps=1500),
        evaluation=EvaluationConfig(every_steps=1500),
    )
