"""A trained model at work: rows in, outputs out, without an optimizer."""
