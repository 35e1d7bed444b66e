"""The settings by which layers are not BERT's, each as BERT's are not."""

FIELDS = {"pre_norm": True, "gated_feed_forward": True, "use_bias": False, "position_embedding": "rotary"}
