"""Workdirs as finetune leaves them, of every task, with tiny random models."""

import json

import jax
import numpy as np
from etils import epath

from bert_jax.config import FineTuningConfig, ModelConfig, TaskConfig, TextConfig
from bert_jax.config.file import to_json
from bert_jax.interchange.huggingface_tasks import CLASSES
from bert_jax.model.functional import flatten
from bert_jax.model.tasks import task_model
from bert_jax.text.tokenizer import Tokenizer
from bert_jax.text.wordpiece import WordPiece
from bert_jax.workdir import fine_tuned

LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]
SENTENCE = "the cat sat on mat dog ran home is it good bad who what where paris london capital of france"
TOKENS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    ".",
    "?",
    *LETTERS,
    *(f"##{one}" for one in LETTERS),
    *SENTENCE.split(),
]
TOKENIZER = Tokenizer(WordPiece(TOKENS, lowercase=True))
OTHER_TOKENIZER = Tokenizer(WordPiece([*TOKENS[:5], *TOKENS[:4:-1]], lowercase=True))  # as many tokens
MODEL = ModelConfig(
    vocab_size=len(TOKENS),
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
    max_position_embeddings=48,
    hidden_act="gelu_tanh",
)
MAX_LENGTH = 24
TEXTS = ["The cat sat on the mat.", "where is paris?", "it is good", "Zebras of London ran " + "home " * 40]
# Task -> its settings in task.json, and how many outputs its model has.
TASKS = {
    "classification": ({"labels": ["neutral", "bad|good", "gut ü"]}, 3),
    "multilabel": ({"labels": ["a", "b", "c", "d"], "thresholds": [0.5, 0.25, 0.5, 0.75]}, 4),
    "regression": ({"mean": 3.5, "sd": 1.25}, 1),
    "tagging": ({"labels": ["O", "B-LOC", "I-LOC"], "convention": "conlleval"}, 3),
    "qa": ({"has_impossible": True, "null_threshold": -1.25}, 2),
    "choice": ({}, 1),
    "similarity": ({}, 0),
}


def model_of(kind, config=MODEL):
    return task_model(CLASSES[kind].head, TASKS[kind][1], config)


def random_params(kind, seed=0, config=MODEL):
    random = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: random.normal(0, 0.2, leaf.shape).astype(np.float32), model_of(kind, config).abstract_params
    )


def write_workdir(directory, kind, model_config=MODEL):
    """As training/task_results.py writes it."""
    directory = epath.Path(directory)
    directory.mkdir(parents=True)
    TOKENIZER.save(directory / "tokenizer")
    options = TaskConfig(kind=kind, train="train data.tsv", dev="dev.tsv", test="test.tsv")
    text = TextConfig(max_length=MAX_LENGTH)
    config = FineTuningConfig(task=options, text=text, model=model_config, init_from="runs/base")
    (directory / "config.json").write_text(to_json(config))
    params = random_params(kind, config=model_config)
    floors = {"dev": {}, "test": {"commonest label": {"accuracy": 0.5}}}
    (directory / "scores.json").write_text(json.dumps({"seeds": [0, 1, 2], "floors": floors}))
    model = fine_tuned.FineTuned(
        kind=kind,
        settings=TASKS[kind][0],
        options=options,
        text=text,
        model=model_config,
        vocab_fingerprint=TOKENIZER.fingerprint,
        seed=2,
        step=120,
        weights_crc32c=fine_tuned.write_weights(directory / fine_tuned.WEIGHTS, flatten(params)),
        init_from="runs/base",
        dev={"accuracy": 0.8125, "f1": None},
        test={"accuracy": 0.75},
        versions={"bert_jax": "0.1.0"},
    )
    fine_tuned.write_description(directory, model)
    return model


def padded(texts, pairs=None):
    """input_ids, attention_mask, segment_ids of texts, as tasks/encoding.py makes rows, padded to MAX_LENGTH."""
    ids, mask, segments = (np.zeros((len(texts), MAX_LENGTH), np.int32) for _ in range(3))
    for row, text in enumerate(texts):
        first = [TOKENIZER.cls_id, *TOKENIZER.encode(text)[: MAX_LENGTH - 2], TOKENIZER.sep_id]
        second = [*TOKENIZER.encode(pairs[row]), TOKENIZER.sep_id] if pairs else []
        ids[row, : len(first) + len(second)] = [*first, *second]
        mask[row, : len(first) + len(second)] = 1
        segments[row, len(first) : len(first) + len(second)] = 1
    return {"input_ids": ids, "attention_mask": mask, "segment_ids": segments}
