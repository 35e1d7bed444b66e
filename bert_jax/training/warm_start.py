"""Continued pretraining: a run's first weights taken from another run, or from somebody else's BERT (init_from)."""

import dataclasses
from collections.abc import Mapping

import jax
import numpy as np
from absl import logging
from etils import epath

from bert_jax.config import ModelConfig
from bert_jax.errors import UserError
from bert_jax.interchange import names
from bert_jax.interchange.huggingface_reader import ForeignWeights, find_weights, read_huggingface
from bert_jax.interchange.tensorflow import OriginalState, find_checkpoint, read_state, read_tensorflow
from bert_jax.interchange.trained import read_moments, read_trained
from bert_jax.text.tokenizer import load_tokenizer
from bert_jax.training.state import Params, State
from bert_jax.training.workdir import read_config

POSITIONS = "encoder/embeddings/position/embedding"
# What may differ between the model that the weights come from and the one that goes on with them.
FREE_TO_CHANGE = ("max_position_embeddings", "hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range")


@dataclasses.dataclass(frozen=True)
class FirstWeights:
    """What a run begins with, on the host: arrays by our paths."""

    params: Mapping[str, np.ndarray]  # what is missing here is initialised afresh
    moments: OriginalState | None  # of Adam, where they were asked for


def read_weights(path: epath.PathLike, with_moments: bool, model: ModelConfig, vocab_fingerprint: str) -> FirstWeights:
    """The weights at `path` for a run with this model and vocabulary.

    `path` is a workdir of ours (its newest checkpoint is taken), an original-BERT checkpoint (of these two Adam's
    moments can be taken too), a Hugging Face directory, or one file of weights.

    Raises:
      UserError: there are none, they are damaged, or of another architecture or vocabulary.
    """
    path = epath.Path(path)
    original, is_run = find_checkpoint(path), (path / "checkpoints").exists()
    if with_moments and not (original or is_run):
        raise UserError(
            f"--config.init_moments: {path} is neither a workdir of bert_jax.pretrain nor an original-BERT checkpoint; "
            "leave it out"
        )
    moments = None
    if original:
        weights = read_tensorflow(path, model)
    elif is_run:
        weights, moments = _of_a_run(path, with_moments)
    elif find_weights(path):
        weights = read_huggingface(path, model)
    else:
        raise UserError(
            f"--config.init_from={path} is neither a workdir of bert_jax.pretrain, nor Hugging Face weights "
            "(config.json and model.safetensors, or one such file), nor an original-BERT checkpoint; give one of these"
        )
    _check_architecture(path, weights.config, model)
    _check_vocabulary(epath.Path(original).parent if original else path, vocab_fingerprint)
    if original and with_moments:
        moments = read_state(path, model)
    return FirstWeights(weights.arrays, moments)


def _of_a_run(workdir: epath.Path, with_moments: bool) -> tuple[ForeignWeights, OriginalState | None]:
    config = read_config(workdir).model
    trained = read_trained(workdir, config, load_tokenizer(workdir / "tokenizer").fingerprint, None)
    moments = OriginalState(*read_moments(workdir, config, trained.step)) if with_moments else None
    return ForeignWeights(names.flatten(trained.params), config, []), moments


def _check_architecture(path: epath.Path, theirs: ModelConfig, ours: ModelConfig) -> None:
    settings = dataclasses.asdict(theirs)
    wrong = {key: value for key, value in settings.items() if key not in FREE_TO_CHANGE and value != getattr(ours, key)}
    if wrong:
        there = ", ".join(f"{key}={value} (here {getattr(ours, key)})" for key, value in wrong.items())
        remedy = " ".join(f"--config.model.{key}={value}" for key, value in wrong.items() if key != "vocab_size")
        remedy = remedy or "records built with the vocabulary of those weights"
        raise UserError(f"--config.init_from={path} is of another architecture: {there}; give {remedy}")
    if theirs.max_position_embeddings > ours.max_position_embeddings:
        raise UserError(
            f"--config.init_from={path} has {theirs.max_position_embeddings} positions and this config "
            f"{ours.max_position_embeddings}; give --config.model.max_position_embeddings="
            f"{theirs.max_position_embeddings} or more"
        )


def _check_vocabulary(path: epath.Path, vocab_fingerprint: str) -> None:
    """Compare the vocabulary that lies with the weights, if one does; a file alone has only its size."""
    for directory in (path / "tokenizer", path):
        if any((directory / name).exists() for name in ("vocab.txt", "tokenizer.json", "tokenizer.model")):
            # The original's folders do not say whether their vocab.txt is cased.
            says = any((directory / name).exists() for name in ("vocabulary.json", "tokenizer_config.json"))
            cases = (None,) if says else (True, False)
            if vocab_fingerprint not in [load_tokenizer(directory, case).fingerprint for case in cases]:
                raise UserError(
                    f"the records were built with another vocabulary than {directory} holds; "
                    f"build them with --vocab={directory}"
                )
            return
    logging.warning("%s has no vocabulary beside its weights: that the records have the same is not checked", path)


def start_from(first: FirstWeights, state: State, shardings: State) -> State:
    """A fresh `state` with the first weights in it, and Adam's moments if they were taken; its step stays 0."""
    params = fill_in(state["params"], first.params, shardings["params"])
    opt_state = state["opt_state"]
    if first.moments:
        adam, layout = opt_state["adam"], shardings["opt_state"]["adam"]
        mu = fill_in(adam.mu, names.flatten(first.moments.mu), layout.mu)
        nu = fill_in(adam.nu, names.flatten(first.moments.nu), layout.nu)
        count = jax.device_put(np.int32(first.moments.step), layout.count)  # which bias correction goes by
        opt_state = opt_state | {"adam": adam._replace(count=count, mu=mu, nu=nu)}
        logging.info("Adam's moments are those after %d steps", first.moments.step)
    return {**state, "params": params, "opt_state": opt_state}


def fill_in(fresh: Params, given: Mapping[str, np.ndarray], shardings: Params) -> Params:
    """`fresh` parameters with all that is `given` in their place, laid out as before; what is new is said.

    A model that grows in length keeps its first positions and begins the others afresh.
    """
    old, layout = names.flatten(fresh), names.flatten(shardings)
    filled = {path: _placed(old[path], given[path], layout[path]) if path in given else old[path] for path in old}
    kept = len(given[POSITIONS])
    if kept < len(old[POSITIONS]):
        logging.warning("positions %d to %d are new: initialised afresh", kept, len(old[POSITIONS]) - 1)
    return names.nest(filled)


def _placed(fresh: jax.Array, given: np.ndarray, sharding: jax.sharding.Sharding) -> jax.Array:
    """`given` over the first rows of `fresh`, on any number of hosts."""
    return jax.jit(lambda array, rows: array.at[: len(rows)].set(rows), out_shardings=sharding)(fresh, given)
