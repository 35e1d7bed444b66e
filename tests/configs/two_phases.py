"""A model of two layers in two phases, of 32 and of 64 tokens."""

import importlib.util
from pathlib import Path

from bert_jax.config import PhaseConfig


def get_config():
    spec = importlib.util.spec_from_file_location("one_phase", Path(__file__).with_name("one_phase.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config()
    config.model.num_hidden_layers = 2
    config.phases += (PhaseConfig(steps=10, global_batch_size=8, max_seq_length=64),)
    return config
