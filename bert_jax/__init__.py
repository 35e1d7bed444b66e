"""Pretraining BERT with JAX: raw text to vocabulary, records, checkpoints, and weights for other frameworks."""

__version__ = "0.1.0"
