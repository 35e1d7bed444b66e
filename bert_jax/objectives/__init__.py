"""What is minimised: one file an objective, one interface (objective.py). Metrics are plain data, without JAX."""
