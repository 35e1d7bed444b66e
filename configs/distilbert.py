"""DistilBERT (arXiv 1910.01108): a student of 6 layers learns from BERT-base what it predicts and how it sees a text.

    python -m bert_jax.build_records --input=TEXT --vocab=TEACHER --output=records/512 --max_seq_length=512 \\
        --max_predictions_per_seq=77 --pairs=none --blocks=full --dupe_factor=1 --holdout=0.001 --num_parts=64
    python -m bert_jax.pretrain --config=configs/distilbert.py --workdir=DIR --config.teacher=TEACHER

TEACHER is a BERT-base with its masked-LM head and its vocabulary: a workdir, a Hugging Face directory or an
original-BERT checkpoint. Other sizes do as well: the student must be as wide as its teacher, or have
--config.distillation.cosine_weight=0, init_layers='' and freeze_positions=false. To try it: --config.scale=0.01 is the
same run at 1/100 of its length, and --config.phases[0].global_batch_size=64 makes its batches small.

Hardware and time. The paper: 8 V100 of 16 GB, about 90 hours. It is 8.4e18 floating-point operations: 2.3 hours on 8
A100 if they reach 40 % of their peak (arithmetic, not a measurement). A quarter of it is the distribution of words of
all tokens, which --config.distillation.kl_tokens=masked leaves out. On fewer devices than hold 2,048 sequences, set
--config.train.accumulation_steps.

What to expect (paper, tables 1 to 4). GLUE development, macro average: 77.0, 97 % of the 79.5 of BERT-base, with 40 %
fewer parameters; IMDb 92.8 (93.5), SQuAD 1.1 F1 85.8 (88.5), and 86.9 where a fine-tuned BERT teaches again: finetune
--config.teacher=WORKDIR. Without the divergence 2.96 less on GLUE, without the cosine 1.46, without masked tokens 0.31,
and from fresh weights 3.69.

The settings. Loss: 5 x 4 x the divergence at temperature 2, a mean over all tokens, + 2 x masked tokens + 1 - cosine of
the last hidden states; the student begins as layers 0, 2, 4, 7, 9 and 11 of its teacher. AdamW, 5e-4 after 5 % of
warm-up, then linear, .98, no weight decay, clipped at 5; 3 epochs of 3.3 billion words in batches of about 2,000
sequences (the authors' script, 5 x 50 on each of 8 GPUs; the paper: up to 4,000). Masks are drawn anew each time, rare
words more often (in proportion to count^-0.7; the records are counted once, at the first start). The position
embeddings stay as they begin.

What is not the original: 15 % of each sequence's words are masked, where the authors mask 15 % of a batch's. Sequences
are whole sentences up to 512 tokens; the authors' are one text each, cut. The positions begin with the teacher's first
token type added, which the authors leave out. Products and activations are bfloat16, the teacher's too.
"""

from bert_jax.config import (
    Config,
    DataConfig,
    DistillationConfig,
    EvaluationConfig,
    OptimizerConfig,
    PhaseConfig,
    TrainConfig,
    distilbert_base,
)


def get_config() -> Config:
    """6 layers of 768: 66,985,530 parameters with a vocabulary of 30,522."""
    return Config(
        model=distilbert_base(),
        phases=(PhaseConfig(steps=12_000, global_batch_size=2048, max_seq_length=512),),
        data=DataConfig(records="records/{max_seq_length}", masking="distilbert"),
        optimizer=OptimizerConfig(
            learning_rate=5e-4,
            warmup_steps=600,
            decay_from_peak=True,
            beta2=0.98,
            bias_correction=True,
            weight_decay=0.0,
            clip_norm=5.0,
        ),
        train=TrainConfig(dtype="bfloat16", log_every_steps=100, checkpoint_every_steps=500),
        evaluation=EvaluationConfig(every_steps=1000, max_batches=10),
        teacher="bert-base-uncased",
        distillation=DistillationConfig(init_layers="0,2,4,7,9,11", freeze_positions=True),
    )
