"""Labelled files → examples → encoded rows; their scores, and answers written back. Knows NumPy and no JAX."""
