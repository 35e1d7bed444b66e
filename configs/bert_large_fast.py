"""BERT-large for a third of the paper's computation, by a recipe that was found on small models. Not run at this size.

    python -m bert_jax.pretrain --config=configs/bert_large_fast.py --workdir=DIR

configs/bert_base_fast.py has the commands that make its records, what differs from the paper's recipe, and what is not
known of it. To try it: --config.scale=0.001 is the same run at 1/1000 of its length. On fewer devices than hold 4,096
sequences, set --config.train.accumulation_steps or --config.train.remat=full.
"""

from bert_jax.config import Config, DataConfig, EvaluationConfig, OptimizerConfig, PhaseConfig, TrainConfig, bert_large


def get_config() -> Config:
    """24 layers of 1024: 334,648,122 parameters with a vocabulary of 30,522."""
    model = bert_large()
    model.position_embedding = "rotary"
    model.type_vocab_size, model.next_sentence = 0, False
    model.hidden_dropout_prob = model.attention_probs_dropout_prob = 0.0
    return Config(
        model=model,
        phases=(
            PhaseConfig(steps=24_300, global_batch_size=4096, max_seq_length=128),
            PhaseConfig(steps=2_700, global_batch_size=1024, max_seq_length=512),
        ),
        data=DataConfig(records="records/{max_seq_length}", masking="bert"),
        optimizer=OptimizerConfig(
            learning_rate=1e-3,
            warmup_steps=1_500,
            decay_steps=5_400,
            beta2=0.98,
            bias_correction=True,
            muon=True,
        ),
        train=TrainConfig(dtype="bfloat16", log_every_steps=100, checkpoint_every_steps=1000),
        evaluation=EvaluationConfig(every_steps=1_000, max_batches=100),
    )
