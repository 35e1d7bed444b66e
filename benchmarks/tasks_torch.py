"""One fine-tuning of transformers' classes by torch, on our batches; takes the flags of bert_jax.finetune."""

import json
import sys

import numpy as np
import torch
import transformers
from absl import flags

from bert_jax.config import FineTuningConfig, ModelConfig
from bert_jax.config.command_line import check_settings
from bert_jax.interchange.pretrained import read_pretrained
from bert_jax.tasks.batching import TrainingOrder, batches_by_length, choose_lengths, padded_length
from bert_jax.tasks.encoding import TextEncoder
from bert_jax.tasks.task_files import read_files

CLASSES = {
    "sequence": transformers.BertForSequenceClassification,
    "token": transformers.BertForTokenClassification,
    "span": transformers.BertForQuestionAnswering,
    "choice": transformers.BertForMultipleChoice,
}
INPUTS = {"input_ids": "input_ids", "attention_mask": "attention_mask", "segment_ids": "token_type_ids"}


def main():
    """Train, keep the best epoch on dev, print the headline score on test."""
    from bert_jax import finetune  # its flags

    check_settings(sys.argv)
    flags.FLAGS(sys.argv)
    config: FineTuningConfig = finetune.settings_of_flags()
    files = read_files(config.task)
    task, pretrained = files.task, read_pretrained(config.init_from, ModelConfig())
    config = config.for_model(pretrained.config, task.default_max_length)
    torch.manual_seed(config.train.seed)
    model = make_model(task, config.init_from)
    rows = {
        split: encoded(task, getattr(files, split), pretrained.tokenizer, config) for split in ("train", "dev", "test")
    }
    options = task.objective_options(files.train, config.task)
    steps = int(len(rows["train"]) / config.fit.global_batch_size * config.fit.epochs)
    order = TrainingOrder(rows["train"].lengths, config.fit.global_batch_size, config.train.seed)
    optimizer = adamw(model, config)
    per_epoch = max(1, round(len(rows["train"]) / config.fit.global_batch_size))
    best, best_state = -np.inf, None
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate(step, steps, config)
        train_step(model, task, optimizer, rows["train"], order.rows(step), options)
        if (step + 1) % per_epoch == 0 or step + 1 == steps:
            scores, _ = scored(model, task, rows["dev"], files.dev, None)
            headline = task.metrics[0].gain(scores[task.metrics[0].name], 0.0)
            print(step + 1, scores[task.metrics[0].name], file=sys.stderr, flush=True)
            if headline > best:
                best, best_state = headline, {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(best_state)
    _, tuned = scored(model, task, rows["dev"], files.dev, None)
    scores, _ = scored(model, task, rows["test"], files.test, tuned)
    print(json.dumps({"score": task.metrics[0].name, "test": scores[task.metrics[0].name]}))


def make_model(task, path):
    """The class of the task's head with its pretrained weights."""
    kind = {"multilabel": "multi_label_classification", "regression": "regression"}.get(task.kind)
    outputs = {} if task.head in ("span", "choice") else {"num_labels": task.num_outputs, "problem_type": kind}
    return CLASSES[task.head].from_pretrained(path, attn_implementation="sdpa", **outputs)


def encoded(task, examples, tokenizer, config):
    """The rows, as ours."""
    return task.encode(examples, TextEncoder(tokenizer, config.text, task.windows))


def adamw(model, config):
    """With decay on all but biases and LayerNorm, as ours."""
    decayed = [p for name, p in model.named_parameters() if not (name.endswith("bias") or "LayerNorm" in name)]
    others = [p for name, p in model.named_parameters() if name.endswith("bias") or "LayerNorm" in name]
    groups = [
        {"params": decayed, "weight_decay": config.optimizer.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.optimizer.learning_rate, eps=config.optimizer.epsilon)


def rate(step, steps, config):
    """The original's schedule, as ours (training/optimizer.py)."""
    warmup, peak = int(config.fit.warmup_share * steps), config.optimizer.learning_rate
    return peak * step / max(warmup, 1) if step < warmup else peak * (1 - step / steps)


def tensors(batch):
    """The model's inputs."""
    return {theirs: torch.from_numpy(batch[ours]).long() for ours, theirs in INPUTS.items()}


def train_step(model, task, optimizer, rows, numbers, options):
    """One update on these rows."""
    model.train()
    length = int(-(-rows.lengths[numbers].max() // 8) * 8)
    batch = rows.batch(numbers.tolist(), len(numbers), min(length, model.config.max_position_embeddings))
    outputs = model(**tensors(batch))
    loss = loss_of(task, outputs, batch, options)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


def loss_of(task, outputs, batch, options):
    """Torch's own losses."""
    functional, weights = torch.nn.functional, torch.from_numpy(batch.get("example_weights", np.ones(1, np.float32)))
    of_classes = options.get("class_weights")
    if task.head == "token":
        labels = torch.from_numpy(batch["token_labels"]).long()
        return functional.cross_entropy(outputs.logits.flatten(0, 1), labels.flatten(), ignore_index=-1)
    if task.head == "span":
        ends = [(outputs.start_logits, "start_positions"), (outputs.end_logits, "end_positions")]
        each = [
            functional.cross_entropy(logits, torch.from_numpy(batch[name]).long(), reduction="none")
            for logits, name in ends
        ]
        return ((each[0] + each[1]) / 2 * weights).sum() / weights.sum()
    labels = torch.from_numpy(batch["labels"])
    if task.kind == "regression":
        each = (outputs.logits[:, 0] - labels) ** 2
    elif task.kind == "multilabel":
        positive = torch.tensor(of_classes) if of_classes else None
        each = functional.binary_cross_entropy_with_logits(
            outputs.logits, labels, reduction="none", pos_weight=positive
        ).mean(1)
    else:
        each = functional.cross_entropy(outputs.logits, labels.long(), reduction="none")
    return (each * weights).sum() / weights.sum()


@torch.no_grad()
def scored(model, task, rows, examples, tuned):
    """(the task's scores, the task with thresholds), those of these examples where `tuned` is None."""
    model.eval()
    outputs: list = [None] * len(rows)
    padded = choose_lengths(rows.lengths, 6, limit=model.config.max_position_embeddings)
    for numbers, size, length in batches_by_length(rows.lengths, padded, 4096 // max(1, rows.texts_per_row), 1):
        batch = rows.batch(numbers.tolist(), size, padded_length(length, padded))
        found = model(**tensors(batch))
        logits = torch.stack([found.start_logits, found.end_logits], -1) if task.head == "span" else found.logits
        for place, row in enumerate(numbers):
            of_row = logits[place].numpy()
            outputs[row] = of_row[: rows.lengths[row]] if task.reads_all_tokens else of_row
    tuned = tuned or task.tuned(task.predictions(outputs, rows, examples), examples)
    return tuned.scores(tuned.predictions(outputs, rows, examples), examples), tuned


if __name__ == "__main__":
    main()
