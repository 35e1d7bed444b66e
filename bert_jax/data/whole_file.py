"""bert_jax/whole_file.py under its earlier name."""

from bert_jax.whole_file import whole_file as whole_file
