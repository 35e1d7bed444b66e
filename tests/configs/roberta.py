"""A very small RoBERTa on blocks of 32 tokens that learns visibly in two hundred steps."""

from bert_jax.config import (
    Config,
    DataConfig,
    EvaluationConfig,
    ModelConfig,
    OptimizerConfig,
    PhaseConfig,
    TrainConfig,
)


def get_config():
    return Config(
        model=ModelConfig(
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=128,
            max_position_embeddings=32,
            type_vocab_size=0,
            next_sentence=False,
            layer_norm_eps=1e-5,
            hidden_dropout_prob=0.1,
            attention_probs_dropout_prob=0.1,
            initializer_range=0.08,
        ),
        phases=(PhaseConfig(steps=200, global_batch_size=64, max_seq_length=32),),
        data=DataConfig(masking="roberta"),
        optimizer=OptimizerConfig(
            learning_rate=4e-3,
            warmup_steps=30,
            decay_from_peak=True,
            beta2=0.98,
            bias_correction=True,
            decay_all=True,
            clip_norm=0.0,
        ),
        train=TrainConfig(log_every_steps=10, checkpoint_every_steps=50),
        evaluation=EvaluationConfig(every_steps=100),
    )
