"""The page of a pretraining run, of a fine-tuning or of several runs over each other, made from their files alone."""
