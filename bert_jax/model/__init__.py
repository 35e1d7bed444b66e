"""BERT's arithmetic: layers, encoder, pretraining heads. Knows no data, no devices, no training."""
