"""A model for other programs, from wherever it is, or a new one."""

import dataclasses
from typing import Literal

import jax
from etils import epath

from bert_jax.config import ModelConfig
from bert_jax.config.check import is_whole, require
from bert_jax.inference.predictor import read_task_model
from bert_jax.interchange.own_settings import own_settings
from bert_jax.interchange.pretrained import read_pretrained
from bert_jax.interchange.renames import EVERYTHING
from bert_jax.library.bert import Bert
from bert_jax.library.described import ModelDescription
from bert_jax.library.given import check_config, path_of, refusals_on_one_line
from bert_jax.model.functional import Model, flatten, nest
from bert_jax.model.pretraining import PARTS, POOLER, parts_of, pretraining_model
from bert_jax.model.tasks import task_model
from bert_jax.parallel.mesh import by_sequence, no_mesh
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.text.tokenizer import Tokenizer
from bert_jax.workdir.fine_tuned import is_fine_tuned

Dtype = Literal["float32", "bfloat16"]


@no_mesh()
def load(model: epath.PathLike, *, dtype: Dtype = "float32", config: ModelConfig | None = None) -> Bert:
    """Load a model with its tokenizer and the heads that it has.

        model = bert_jax.load("runs/quickstart/train")
        batch = model.encode(["a text", ("a text", "and another one")])
        outputs = model.apply(model.params, batch)      # hidden_states, pooled, logits, pair_logits

    model: a path, local ("~" is the home directory) or gs://, of whatever the verbs take: a workdir of
        `python -m bert_jax.pretrain` (its newest checkpoint) or `python -m bert_jax.finetune`; a Hugging Face
        directory, or one file of weights with a vocabulary beside it, of BERT, RoBERTa, ALBERT, DistilBERT or RoFormer;
        an original BERT or ALBERT TensorFlow checkpoint; a directory of `python -m bert_jax.export --format=numpy`.
    dtype: of activations and matrix products. Parameters and logits are float32.
    config: what one file of weights does not say of itself: num_attention_heads, hidden_act, dropout, layer_norm_eps;
        None: BERT-base's. Not looked at where there is a config.json.

    Gives a `bert_jax.Bert`: encode, apply, embed, fill_mask, predict, and params, config, tokenizer as attributes. It
    has the heads that the file has: those of a pretraining run, or the head of a fine-tuned workdir's task. What a file
    lacks, such as a pooler, is not made up: `apply` gives None for it. What somebody's file has of another task's head
    is not read, and logged; nor is a RobertaModel's pooler, since RoBERTa is pretrained without one.

    Process-wide settings (signals, JAX's configuration, logging) stay as they are.

    Raises:
      bert_jax.UserError: one line: there is no model, it is damaged, not all finite, of another architecture than
        these, or has no vocabulary beside it.
    """
    _check_dtype(dtype)
    given = path_of("model", model)
    defaults = ModelConfig() if config is None else config
    check_config(defaults)
    with refusals_on_one_line():
        path = epath.Path(given)
        return _fine_tuned(path, dtype) if is_fine_tuned(path) else _pretrained(path, dtype, defaults)


@no_mesh()
def from_config(
    config: ModelConfig, vocabulary: epath.PathLike | Tokenizer, *, seed: int = 0, dtype: Dtype = "float32"
) -> Bert:
    """A new model with fresh weights and its pretraining heads, for a training loop of one's own.

    config: the architecture; its vocab_size 0 becomes the vocabulary's. next_sentence=False leaves the pairs' head out.
    vocabulary: a directory or file that `build_vocab --vocab` takes, such as RECORDS/tokenizer; or a Tokenizer.
    seed: of the weights, which are drawn as `python -m bert_jax.pretrain` draws them.
    dtype: as for `load`.

    Raises:
      bert_jax.UserError: a setting is out of its range, or there is no vocabulary, or one with more tokens than rows.
    """
    _check_dtype(dtype)
    require(is_whole(seed, 0, 2**63 - 1), "seed", seed, f"give a whole number from 0 to {2**63 - 1}")
    check_config(config)
    tokenizer = vocabulary if isinstance(vocabulary, Tokenizer) else _vocabulary(vocabulary)
    config = dataclasses.replace(config, vocab_size=config.vocab_size or tokenizer.vocab_size)
    config.check("config.")
    remedy = f"the vocabulary has {tokenizer.vocab_size} tokens; give 0, or as many"
    require(config.vocab_size >= tokenizer.vocab_size, "config.vocab_size", config.vocab_size, remedy)
    model = _pretraining(config, dtype, PARTS)
    description = ModelDescription("a new model", config, config.max_position_embeddings, dtype=dtype)
    params = jax.jit(model.init)(jax.random.key(seed, impl="threefry2x32"))
    return Bert(params, tokenizer, model, description)


def _vocabulary(path: epath.PathLike) -> Tokenizer:
    given = path_of("vocabulary", path)
    with refusals_on_one_line():
        return load_tokenizer(given)


def _check_dtype(dtype: str) -> None:
    require(dtype in ("float32", "bfloat16"), "dtype", repr(dtype), "give 'float32' or 'bfloat16'")


def _fine_tuned(path: epath.Path, dtype: str) -> Bert:
    found, own = read_task_model(path), own_settings(path)
    task, config = found.task, found.description.model
    model = task_model(task.head, task.num_outputs, config, dtype, by_sequence=by_sequence())
    length = own.length(config.max_position_embeddings)
    description = ModelDescription(str(path), config, length, task, found.description, own, dtype=dtype)
    return Bert(jax.device_put(nest(found.arrays)), found.tokenizer, model, description)


def _pretrained(path: epath.Path, dtype: str, defaults: ModelConfig) -> Bert:
    found = read_pretrained(path, defaults, EVERYTHING, absent="left out")
    config, own = found.config, own_settings(path)
    parts = parts_of(found.arrays)
    if POOLER not in parts:  # of what reads no pairs; no config.json of others' says it
        config = dataclasses.replace(config, next_sentence=False)
    model = _pretraining(config, dtype, parts)
    length = own.length(config.max_position_embeddings)
    description = ModelDescription(str(path), config, length, own=own, heads=found.heads, dtype=dtype)
    # No next-sentence head without a pooler.
    there = {path: found.arrays[path] for path in flatten(model.abstract_params)}
    return Bert(jax.device_put(nest(there)), found.tokenizer, model, description)


def _pretraining(config: ModelConfig, dtype: str, parts: tuple[str, ...]) -> Model:
    return pretraining_model(config, dtype, by_sequence=by_sequence(), parts=parts)
