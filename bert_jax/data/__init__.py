"""From documents to TFRecord shards, and from shards to batches. Knows NumPy and nothing of JAX."""
