"""What `import bert_jax` offers to other programs: its names are in bert_jax/__init__.py."""
