"""Tiny models of every task and family, served."""

import dataclasses

import jax
import numpy as np
import pytest
from etils import epath

from bert_jax.interchange.exports import ExportOptions, export_fine_tuned
from bert_jax.interchange.families import FAMILIES, family_of
from bert_jax.interchange.foreign_exports import export
from bert_jax.interchange.huggingface import write_huggingface
from bert_jax.interchange.numpy import write_numpy
from bert_jax.model.pretraining import pretraining_model
from bert_jax.serving.options import Options
from bert_jax.serving.programs import program_writer
from bert_jax.workdir.trained import Trained
from tests.layer_fields import FIELDS

# As a family's models are; BERT's has the exact GELU here, others tanh.
SETTINGS = {
    "bert": {"hidden_act": "gelu"},
    "roberta": {"type_vocab_size": 0, "next_sentence": False, "layer_norm_eps": 1e-5},
    "albert": {"num_hidden_layers": 4, "num_hidden_groups": 2, "embedding_size": 16},
    "distilbert": {"type_vocab_size": 0, "next_sentence": False},
    "roformer": {"position_embedding": "rotary"},
    "none": {**FIELDS, "left_to_right": True, "next_sentence": False, "embedding_size": 16, "hidden_act": "gelu"},
}
LENGTHS = (48, 20, 7, 3, 1)  # of the rows of a batch, the first as long as the model reads


@pytest.fixture(scope="session")
def configs(workdirs):
    return {name: dataclasses.replace(workdirs.MODEL, **changes) for name, changes in SETTINGS.items()}


def wanted(kind, drop_heads=False, family=None, **options):
    writer = program_writer(kind, Options(**options))
    return ExportOptions(kind, drop_heads=drop_heads, family=family, write_program=writer)


@pytest.fixture(scope="session")
def served_task(workdirs, configs, tmp_path_factory):
    """served_task(task, format, family, ...) -> the directory of a task's model as a program; `asked`: a --family."""

    def serve(task, kind="onnx", family="bert", asked=None, **options):
        directory = tmp_path_factory.mktemp(f"{task}-{kind}-{family}")
        workdirs.write_workdir(directory / "run", task, configs[family])
        (directory / "out").mkdir()
        export_fine_tuned(epath.Path(directory / "out"), directory / "run", wanted(kind, family=asked, **options))
        return directory / "out"

    return serve


@pytest.fixture(scope="session")
def pretrained(workdirs, configs, tmp_path_factory):
    """pretrained(family) -> a directory of transformers', or of NumPy, of a pretraining model, and its parameters."""

    def publish(family):
        config, directory = configs[family], epath.Path(tmp_path_factory.mktemp(family))
        random = np.random.default_rng(0)
        abstract = pretraining_model(config).abstract_params
        params = jax.tree.map(lambda leaf: random.normal(0, 0.2, leaf.shape).astype(np.float32), abstract)
        if family == "none":
            write_numpy(directory, Trained(1, params, {}, {}), config, workdirs.TOKENIZER)
        else:
            assert family_of(config) is FAMILIES[family]
            write_huggingface(directory, Trained(1, params, {}, {}), config, workdirs.TOKENIZER, FAMILIES[family])
        return directory, params

    return publish


@pytest.fixture(scope="session")
def served(pretrained, tmp_path_factory):
    """served(family, format, ...) -> the directory of a pretraining model as a program, and its parameters."""

    def serve(family, kind="onnx", **asked):
        source, params = pretrained(family)
        directory = tmp_path_factory.mktemp(f"{family}-{kind}")
        export(epath.Path(directory), None, str(source), wanted(kind, **asked))
        return directory, params

    return serve


@pytest.fixture(scope="session")
def batch(workdirs):
    """batch(texts a row) -> rows of LENGTHS of real text with padding, by our names; of pairs, as a question is."""

    def make(texts=0):
        ids = np.array(workdirs.TOKENIZER.encode(" ".join(workdirs.TEXTS) * 8))
        rows = []
        for row, length in enumerate(np.repeat(LENGTHS, max(1, texts))):
            tokens = np.arange(48) < length
            rows.append((np.where(tokens, ids[row : row + 48], 0), tokens, tokens & (np.arange(48) > length // 2)))
        names = ("input_ids", "attention_mask", "segment_ids")
        shape = (len(LENGTHS), texts, 48) if texts else (len(LENGTHS), 48)
        arrays = (np.stack(each).astype(np.int32).reshape(shape) for each in zip(*rows, strict=True))
        return dict(zip(names, arrays, strict=True))

    return make
