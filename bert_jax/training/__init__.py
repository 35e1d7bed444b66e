"""Objective, optimizer, state, step, evaluation and the loop."""
