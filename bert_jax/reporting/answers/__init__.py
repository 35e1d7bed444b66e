"""What a fine-tuned model answers, task by task, as parts of its page."""
