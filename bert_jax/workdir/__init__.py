"""A run on disk: who may use it, its config, checkpoints, logs and clock, and what a trained model is."""
