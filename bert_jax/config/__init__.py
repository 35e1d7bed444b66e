"""Every setting of a run: its name, its default, its meaning and its range. Declared here and nowhere else.

An experiment is a Python file in `configs/` whose `get_config()` returns a `Config` (pretraining) or a
`FineTuningConfig`; single values are changed on the command line with `--config.group.key=value`. Names follow the
original's `bert_config.json` and flags.
"""

from bert_jax.config.data import DataConfig
from bert_jax.config.distillation import DistillationConfig, TaskDistillationConfig
from bert_jax.config.finetuning import FineTuningConfig, FitConfig, TaskConfig, TextConfig
from bert_jax.config.model import (
    LAYERS_OF_BERT,
    ModelConfig,
    albert_base,
    albert_large,
    albert_xlarge,
    albert_xxlarge,
    bert_base,
    bert_large,
    distilbert_base,
    roberta_base,
    roberta_large,
)
from bert_jax.config.optimizer import OptimizerConfig
from bert_jax.config.run import Config, Cycle, PhaseConfig, cycles, without_peak
from bert_jax.config.training import EvaluationConfig, MeshConfig, ProfileConfig, TrainConfig

__all__ = [
    "LAYERS_OF_BERT",
    "Config",
    "Cycle",
    "DataConfig",
    "DistillationConfig",
    "EvaluationConfig",
    "FineTuningConfig",
    "FitConfig",
    "MeshConfig",
    "ModelConfig",
    "OptimizerConfig",
    "PhaseConfig",
    "ProfileConfig",
    "TaskConfig",
    "TaskDistillationConfig",
    "TextConfig",
    "TrainConfig",
    "albert_base",
    "albert_large",
    "albert_xlarge",
    "albert_xxlarge",
    "bert_base",
    "bert_large",
    "cycles",
    "distilbert_base",
    "roberta_base",
    "roberta_large",
    "without_peak",
]
