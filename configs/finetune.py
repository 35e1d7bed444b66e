"""Fine-tuning as the paper does it: 3 epochs of batches of 32, 5e-5, a tenth of warm-up (arXiv 1810.04805, A.3).

    python -m bert_jax.finetune --task=classification --init_from=MODEL --train=train.tsv --dev=dev.tsv --workdir=DIR

These are the defaults, and `finetune` needs no --config; copy this file for an experiment of your own. Other than in
the original, Adam has its bias correction: without it half of the runs on a small set fail (arXiv 2006.05987); the
original's update is --config.optimizer.bias_correction=false. Worth trying on small sets: --config.fit.epochs=10,
--seeds=5, --config.fit.layer_decay=0.95 and --config.fit.fresh_layers=1.
"""

from bert_jax.config import FineTuningConfig


def get_config() -> FineTuningConfig:
    """The defaults."""
    return FineTuningConfig()
