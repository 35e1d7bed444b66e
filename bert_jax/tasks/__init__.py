"""Labelled files to examples to encoded rows; scores; answers written back. Knows NumPy and no JAX."""
