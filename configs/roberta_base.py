"""RoBERTa-base as in the paper (arXiv 1907.11692): 500,000 steps of 8,192 sequences of 512 tokens, masked LM alone.

    python -m bert_jax.build_records --input=TEXT --vocab=VOCAB --output=records/512 --max_seq_length=512 \\
        --max_predictions_per_seq=77 --pairs=none --blocks=full --dupe_factor=1 --holdout=0.001 --num_parts=64
    python -m bert_jax.pretrain --config=configs/roberta_base.py --workdir=DIR

VOCAB is RoBERTa's (a directory with vocab.json and merges.txt, 50,265 tokens) or one of build_vocab --kind=bpe, cased
as RoBERTa's is; other kinds do, too. A line of TEXT is a sentence or, as the authors' own lines were, a paragraph; one
longer than 511 tokens is left out and counted, or cut with --cut_long_sentences. To try it: --config.scale=0.001 is the
same run at 1/1000 of its length, and --config.phases[0].global_batch_size=64 makes its batches small.

Hardware and time. The paper: 1,024 V100, a day for each 100,000 steps of the large model. It is 1.2e21 floating-point
operations: 33 hours on 64 A100 if they reach 50 % of their peak (arithmetic, not a measurement). On fewer devices than
hold 8,192 sequences, set --config.train.accumulation_steps.

What to expect. Fine-tuned, development: MNLI 87.6, QNLI 92.8, QQP 91.9, RTE 78.7, SST-2 94.8, MRPC 90.2, CoLA 63.6,
STS-B 91.2 (the authors' README). That is with 160 GB of text. With Wikipedia and BooksCorpus, and shorter runs
(paper, table 3; perplexity held out, MNLI-m, SST-2), of 256 sequences, 1M steps, 1e-4: 3.99, 84.7, 92.7; of 2,048,
125,000, 7e-4: 3.68, 85.2, 92.9; of 8,192, 31,000, 1e-3: 3.77, 84.6, 92.8.

The settings (paper, section 2 and table 9). Rate 6e-4 after 24,000 steps of warm-up, then linear from there; Adam .98
with bias correction; weight decay .01 on all parameters; no clipping. Of smaller batches the authors recommend 1e-4 for
256 sequences and 5e-4 for 2,048 (with 125,000 steps and 10,000 of warm-up). Masks are drawn anew whenever a sequence is
read, by fairseq's rule, in which <s> and </s> may be masked, too; in held-out evaluation they are always the same.

The paper's other inputs. DOC-SENTENCES: --blocks=doc, and --config.data.packing=true, which fills rows with its shorter
blocks. Static masks: leave --dupe_factor out and give --config.data.masking=static; the original BERT's rule, drawn
anew: --config.data.masking=bert. BERT's other shares of the masked tokens (arXiv 1810.04805, table 8) go with both:
all masked, --config.data.random_share=0 --config.data.kept_share=0; 80 % and 20 % random, =0.2 and =0; 80 % and 20 %
kept, =0 and =0.2.

What is not the original: products and activations are bfloat16 (the authors' float16); weights, moments, LayerNorm
statistics, softmax and loss are float32.
"""

from bert_jax.config import (
    Config,
    DataConfig,
    EvaluationConfig,
    OptimizerConfig,
    PhaseConfig,
    TrainConfig,
    roberta_base,
)


def get_config() -> Config:
    """12 layers of 768: 124,695,129 parameters with a vocabulary of 50,265."""
    return Config(
        model=roberta_base(),
        phases=(PhaseConfig(steps=500_000, global_batch_size=8192, max_seq_length=512),),
        data=DataConfig(records="records/{max_seq_length}", masking="roberta"),
        optimizer=OptimizerConfig(
            learning_rate=6e-4,
            warmup_steps=24_000,
            decay_from_peak=True,
            beta2=0.98,
            bias_correction=True,
            decay_all=True,
            clip_norm=0.0,
        ),
        train=TrainConfig(dtype="bfloat16", log_every_steps=100, checkpoint_every_steps=1000),
        evaluation=EvaluationConfig(every_steps=5000, max_batches=10),
    )
