"""A trained model as a program of another runtime: ONNX and StableHLO, with names that others know."""
