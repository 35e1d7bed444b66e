"""One fine-tuning by transformers' Trainer on torch: MODEL TRAIN COLUMNS EPOCHS DIRECTORY [DEV TEST SEED]."""

import json
import sys
import time

import numpy as np
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

from bert_jax.config import TaskConfig
from bert_jax.tasks.kinds import KINDS


class Rows(torch.utils.data.Dataset):
    """Examples, tokenized."""

    def __init__(self, examples, tokenizer, number, max_length):
        texts = [one.text for one in examples]
        pairs = [one.text2 for one in examples] if examples and examples[0].text2 else None
        self.encoded = tokenizer(texts, pairs, truncation=True, max_length=max_length)
        self.labels = [number(one.label) for one in examples]

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, place):
        return {name: values[place] for name, values in self.encoded.items()} | {"labels": self.labels[place]}


def train(model_path, examples, outputs, number, options, directory, max_length=512, problem_type=None):
    """(the Trainer after training, seconds of training)."""
    tokenizer = AutoTokenizer.from_pretrained(model_path)
    model = AutoModelForSequenceClassification.from_pretrained(
        model_path, num_labels=outputs, problem_type=problem_type
    )
    arguments = TrainingArguments(
        output_dir=str(directory),
        learning_rate=5e-5,
        per_device_train_batch_size=32,
        weight_decay=0.01,
        adam_epsilon=1e-6,
        warmup_ratio=0.1,
        group_by_length=True,
        save_strategy="no",
        logging_steps=50,
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        **options,
    )
    collator = DataCollatorWithPadding(tokenizer)
    rows = Rows(examples, tokenizer, number, max_length)
    trainer = Trainer(model, arguments, train_dataset=rows, data_collator=collator)
    begun = time.perf_counter()
    trainer.train()
    return trainer, tokenizer, time.perf_counter() - begun


def product_rate():
    """GFLOP/s of a product as large as MiniLM's feed-forward layer on a batch."""
    left, right = torch.ones(2048, 384), torch.ones(384, 1536)
    seconds = []
    for _ in range(20):
        begun = time.perf_counter()
        left @ right
        seconds.append(time.perf_counter() - begun)
    return 2 * 2048 * 384 * 1536 / float(np.median(seconds)) / 1e9


def main():
    """Train on a classification file and print what it took."""
    model, file, columns, epochs, directory = sys.argv[1:6]
    task, config = KINDS["classification"](), TaskConfig(columns=columns)
    examples = task.read(file, config, True)
    task = task.fitted(examples, config)
    options = {"num_train_epochs": float(epochs)}
    trainer, _, seconds = train(model, examples, task.num_outputs, task.labels.index, options, directory)
    trainer.save_model(directory)
    print(json.dumps({"training": seconds, "product": product_rate()}))


if __name__ == "__main__":
    main()
