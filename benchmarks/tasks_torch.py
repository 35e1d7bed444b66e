"""One fine-tuning of transformers' classes by torch, on our batches; takes the flags of bert_jax.finetune."""

import json
import sys

import numpy as np
import torch
from absl import flags
from tasks_torch_model import loss_of, make_model, tensors

from bert_jax.config import FineTuningConfig, ModelConfig
from bert_jax.config.command_line import check_settings
from bert_jax.interchange.own_settings import own_settings
from bert_jax.interchange.pretrained import read_pretrained
from bert_jax.tasks.batching import TrainingOrder, batches_by_length, choose_lengths, padded_length
from bert_jax.tasks.encoding import TextEncoder
from bert_jax.tasks.retrieval import read_documents, read_judgements
from bert_jax.tasks.scores.retrieval import retrieval
from bert_jax.tasks.task_files import read_all, read_files
from bert_jax.training.finetuning import default_length, with_own_pooling

ALSO = flags.DEFINE_string("also", "", "A further test file.")
SEARCH = flags.DEFINE_list("search", [], "Corpus, queries and judgements, which are scored in the place of test files.")
FIT = flags.DEFINE_boolean("fit", True, "False: the model is used as it is.")
SCORE = flags.DEFINE_string("score", "", "Another one than the task's first.")


def main():
    """Train, keep the best epoch on dev, print a line for each test file: the score."""
    from bert_jax import finetune  # its flags

    check_settings(sys.argv)
    flags.FLAGS(sys.argv)
    config: FineTuningConfig = finetune.settings_of_flags()
    own = own_settings(config.init_from)
    files = read_files(with_own_pooling(config.task, own))
    task, pretrained = files.task, read_pretrained(config.init_from, ModelConfig())
    config = config.for_model(pretrained.config, default_length(task, own))
    encoder = TextEncoder(pretrained.tokenizer, config.text, task.windows)
    torch.manual_seed(config.train.seed)
    model = make_model(task, config.init_from)
    if FIT.value:
        fit(model, files, encoder, config)
    if SEARCH.value:
        print(json.dumps({"score": "ndcg@10", "test": searched(model, encoder)}))
        return
    if files.dev:
        _, task = scored(model, task, encoder, files.dev, None)
    wanted = SCORE.value or task.metrics[0].name
    tests = [files.test, *([read_all(task, ALSO.value, config.task)] if ALSO.value else [])]
    for test in tests:
        scores, _ = scored(model, task, encoder, test, task)
        print(json.dumps({"score": wanted, "test": scores[wanted]}), flush=True)


def fit(model, files, encoder, config):
    """Train; the model has the weights of the best epoch on dev then, or the last where there is no dev."""
    task, rows = files.task, files.task.encode(files.train, encoder)
    options = task.objective_options(files.train, config.task)
    per_epoch = max(1, round(len(rows) / config.fit.global_batch_size))
    steps = int(len(rows) / config.fit.global_batch_size * config.fit.epochs)
    order = TrainingOrder(rows.lengths, config.fit.global_batch_size, config.train.seed)
    optimizer = adamw(model, config)
    best, best_state = -np.inf, None
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate(step, steps, config)
        train_step(model, task, optimizer, rows, order.rows(step), options)
        if files.dev and ((step + 1) % per_epoch == 0 or step + 1 == steps):
            scores, _ = scored(model, task, encoder, files.dev, None)
            headline = task.metrics[0].gain(scores[task.metrics[0].name], 0.0)
            print(step + 1, scores[task.metrics[0].name], file=sys.stderr, flush=True)
            if headline > best:
                best, best_state = headline, {name: value.clone() for name, value in model.state_dict().items()}
    if best_state:
        model.load_state_dict(best_state)


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


@torch.no_grad()
def scored(model, task, encoder, examples, tuned):
    """(the task's scores, the task with thresholds), those of these examples where `tuned` is None."""
    rows = task.encode(examples, encoder)
    outputs = outputs_of(model, task, rows)
    tuned = tuned or task.tuned(task.predictions(outputs, rows, examples), examples)
    return tuned.scores(tuned.predictions(outputs, rows, examples), examples), tuned


def outputs_of(model, task, rows):
    """Of each row."""
    model.eval()
    outputs: list = [None] * len(rows)
    padded = choose_lengths(rows.lengths, 6, limit=model.config.max_position_embeddings)
    for numbers, size, length in batches_by_length(rows.lengths, padded, 4096 // max(1, rows.texts_per_row), 1):
        batch = rows.batch(numbers.tolist(), size, padded_length(length, padded))
        found = model(**tensors(batch))
        logits = torch.stack([found.start_logits, found.end_logits], -1) if task.head == "span" else found.logits
        for place, row in enumerate(numbers):
            of_row = logits[place].numpy()
            outputs[row] = of_row[: rows.lengths[row]] if task.head in ("token", "span") else of_row
    return outputs


def searched(model, encoder):
    """nDCG@10 of a search by cosine."""
    corpus, queries, qrels = SEARCH.value
    texts, asked, judged = read_documents(corpus), read_documents(queries), read_judgements(qrels)
    documents, vectors = vectors_of(model, encoder, texts), vectors_of(model, encoder, asked)
    run = {
        query: dict(zip(texts, (documents @ vector).tolist(), strict=True))
        for query, vector in zip(asked, vectors, strict=True)
    }
    return retrieval(judged, run)["ndcg@10"]


@torch.no_grad()
def vectors_of(model, encoder, texts):
    """Of length 1: [texts, hidden]."""
    model.eval()
    encoder.windows = False
    found = []
    for text in texts.values():
        ids = torch.tensor(encoder.rows(text)[0].ids)[None, None]
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
        found.append(torch.nn.functional.normalize(model(**inputs).logits[0, 0], dim=-1).numpy())
    return np.stack(found)


if __name__ == "__main__":
    main()
