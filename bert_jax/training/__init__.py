"""A run of any objective: optimizer, state, step, evaluation, monitor and the loop."""
