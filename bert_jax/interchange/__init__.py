"""Weights to and from other frameworks' files; knows plain nested dicts of arrays."""
