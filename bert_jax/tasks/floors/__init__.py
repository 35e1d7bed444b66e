"""What simple methods reach on the same files: deterministic, on one core, so that a model's scores can be judged."""
