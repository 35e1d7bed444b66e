"""A small BERT that learns visibly in a few minutes on a laptop: the run of `launch/pretrain.sh` without arguments.

launch/pretrain.sh
python -m bert_jax.pretrain --config=configs/tiny.py --workdir=DIR --config.data.records=RECORDS_DIR
"""

from bert_jax.config import (
    Config,
    DataConfig,
    EvaluationConfig,
    ModelConfig,
    OptimizerConfig,
    PhaseConfig,
    TrainConfig,
)


def get_config() -> Config:
    """2 layers of 128 on sequences of 64 tokens."""
    return Config(
        model=ModelConfig(
            hidden_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=512,
            max_position_embeddings=128,
        ),
        phases=(PhaseConfig(steps=3000, global_batch_size=32, max_seq_length=64),),
        data=DataConfig(records="runs/quickstart/records"),
        optimizer=OptimizerConfig(learning_rate=1e-3, warmup_steps=300),
        train=TrainConfig(log_every_steps=50, checkpoint_every_steps=500),
        evaluation=EvaluationConfig(every_steps=500),
    )
