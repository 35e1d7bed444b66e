"""Continued pretraining: a run's first weights taken from another run, or from somebody else's BERT (init_from)."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from absl import logging
from etils import epath

from bert_jax.config import ModelConfig
from bert_jax.errors import UserError
from bert_jax.interchange.foreign import AdamState
from bert_jax.interchange.pretrained import WeightsAtPath, check_finite, read_any
from bert_jax.interchange.tensorflow import find_checkpoint, read_state
from bert_jax.model.embeddings import POSITIONS
from bert_jax.model.functional import Params, flatten, nest
from bert_jax.model.pretraining import pretraining_model
from bert_jax.text.load_tokenizer import load_tokenizer, vocabulary_beside
from bert_jax.text.tokenizer import Tokenizer
from bert_jax.training.state import State
from bert_jax.training.surplus_rows import drop_surplus_moments, drop_surplus_rows
from bert_jax.workdir.run_directory import read_config
from bert_jax.workdir.trained import read_moments

# What may differ between the model that the weights come from and the one that starts with them.
MAY_DIFFER = (
    "max_position_embeddings",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "initializer_range",
    "initializer",
    "next_sentence",  # its head is left out, or newly initialised
    "left_to_right",
)


@dataclasses.dataclass(frozen=True)
class FirstWeights:
    """What a run begins with, on the host: arrays by our paths."""

    params: Mapping[str, np.ndarray]  # what is missing here is newly initialised
    moments: AdamState | None  # where they were asked for


def read_weights(path: epath.PathLike, with_moments: bool, model: ModelConfig, records: Tokenizer) -> FirstWeights:
    """The weights at `path` for a run with this model, on records with this vocabulary.

    `path` is a workdir of pretraining (its newest checkpoint is taken), an original-BERT checkpoint (of these two
    Adam's moments can be taken too), a workdir of fine-tuning, a Hugging Face directory, one file of weights, or a
    numpy export.

    Raises:
      UserError: there are none, they are damaged, not all finite, or of another architecture or vocabulary.
    """
    path = epath.Path(path)
    original = find_checkpoint(path)
    if with_moments:
        _check_has_moments(path, original)
    found = read_any(path, model, flag="--config.init_from=")
    folder = epath.Path(original).parent if original else path
    weights = drop_surplus_rows(found.weights, model, folder)
    _check_fit(path, folder, weights.config, model, records)
    check_finite(weights.arrays, f"--config.init_from={path}")
    moments = _moments(path, found, model) if with_moments else None  # after all checks: they are as much again, twice
    return FirstWeights(weights.arrays, moments)


def _check_has_moments(path: epath.Path, original: str | None) -> None:
    if original:
        return
    if not (path / "checkpoints").exists():
        raise UserError(
            f"--config.init_moments: {path} is neither a workdir of bert_jax.pretrain nor an original-BERT checkpoint; "
            "leave it out"
        )
    if read_config(path).optimizer.muon:
        raise UserError(
            f"--config.init_moments: {path} was trained with Muon, which keeps no moments of Adam's for the layers' "
            "matrices; leave it out, or continue the whole of that run: --config.branch_from in place of init_from"
        )


def _moments(path: epath.Path, found: WeightsAtPath, model: ModelConfig) -> AdamState:
    """Adam's, of the checkpoint that the weights are from, with a row for each of the tokens of `model`."""
    theirs = found.weights.config
    if found.step is None:
        moments = read_state(path, theirs)
    else:
        moments = AdamState(*read_moments(path, pretraining_model(theirs).abstract_params, found.step))
    if theirs.vocab_size > model.vocab_size:
        moments = drop_surplus_moments(moments, model)
    arrays = flatten({"mu": moments.mu, "nu": moments.nu})
    check_finite(arrays, f"--config.init_from={path}, Adam's moments")
    return moments


def _check_fit(
    path: epath.Path, folder: epath.Path, theirs: ModelConfig, ours: ModelConfig, records: Tokenizer
) -> None:
    """Raise UserError with all in which this run differs from the weights at `path`, and with what to give.

    `folder` is where their vocabulary may lie; `records` is that of the records.
    """
    wrong = _settings_that_differ(theirs, ours)
    directory, vocabularies = _vocabularies_in(folder)
    if not directory:
        logging.warning("%s has no vocabulary beside its weights: that the records have the same is not checked", path)
    differs = [f"{key}={value} (here {getattr(ours, key)})" for key, value in wrong.items()]
    give = [" ".join(f"--config.model.{key}={value}" for key, value in wrong.items() if key != "vocab_size")]
    if other := bool(vocabularies) and is_another(records, vocabularies):
        differs.append(f"another vocabulary in {directory} than the records have")
    if other or "vocab_size" in wrong:
        give.append(f"records built with {vocabulary_to_give(directory, vocabularies, theirs.vocab_size, records)}")
    if differs:
        remedy = " and ".join(filter(None, give))
        raise UserError(f"--config.init_from={path} does not fit this run: {', '.join(differs)}; give {remedy}")


def _settings_that_differ(theirs: ModelConfig, ours: ModelConfig) -> dict[str, Any]:
    """Theirs, of those that must be equal; positions may grow."""
    settings = dataclasses.asdict(theirs)
    wrong = {key: value for key, value in settings.items() if key not in MAY_DIFFER and value != getattr(ours, key)}
    if theirs.distinct_layers == ours.distinct_layers:  # as many groups as layers share as little as none
        wrong.pop("num_hidden_groups", None)
    if theirs.max_position_embeddings > ours.max_position_embeddings:
        wrong["max_position_embeddings"] = theirs.max_position_embeddings
    return wrong


def _vocabularies_in(path: epath.Path) -> tuple[epath.Path | None, list[Tokenizer]]:
    """Where the vocabulary lies that is with the weights, if one is, and what it may be."""
    directory = vocabulary_beside(path)
    if directory is None:
        return None, []
    # In the original's directories nothing shows whether a vocab.txt is cased: it may be either.
    has_case = any((directory / name).exists() for name in ("vocabulary.json", "tokenizer_config.json"))
    return directory, [load_tokenizer(directory, case) for case in ((None,) if has_case else (True, False))]


def is_another(records: Tokenizer, vocabularies: list[Tokenizer]) -> bool:
    """Whether the records' vocabulary is none of these.

    Ids have no text: of these only the special ones are compared, beside their number, which the table has. So a
    molecule's vocab.txt, which is no list of WordPieces, is not held against records of its ids.
    """
    if records.kind == "ids":
        return _special_ids(records) not in map(_special_ids, vocabularies)
    return records.fingerprint not in [one.fingerprint for one in vocabularies]


def vocabulary_to_give(directory: epath.Path | None, found: list[Tokenizer], size: int, records: Tokenizer) -> str:
    """The flag for records like `records` that go with weights of `size` rows, whose vocabulary is `found` there."""
    if records.kind == "ids":
        return f"--vocab=ids:{size},{_special_ids(found[0] if found else records)}"
    return f"--vocab={directory}" if directory else "the vocabulary of those weights"


def _special_ids(vocabulary: Tokenizer) -> str:
    return ",".join(f"{name}={getattr(vocabulary, f'{name}_id')}" for name in ("pad", "unk", "cls", "sep", "mask"))


def start_from(first: FirstWeights, state: State, shardings: State) -> State:
    """A fresh `state` with the first weights in it, and Adam's moments if they were taken; its step stays 0."""
    _log_new_positions(flatten(state["params"]), first.params)
    params = fill_in(state["params"], first.params, shardings["params"])
    opt_state = state["opt_state"]
    if first.moments:
        adam, layout = opt_state["adam"], shardings["opt_state"]["adam"]
        mu = fill_in(adam.mu, flatten(first.moments.mu), layout.mu)
        nu = fill_in(adam.nu, flatten(first.moments.nu), layout.nu)
        count = jax.device_put(np.int32(first.moments.step), layout.count)  # which bias correction goes by
        opt_state = opt_state | {"adam": adam._replace(count=count, mu=mu, nu=nu)}
        logging.info("Adam's moments are those after %d steps", first.moments.step)
    return {**state, "params": params, "opt_state": opt_state}


def _log_new_positions(fresh: Mapping[str, jax.Array], given: Mapping[str, np.ndarray]) -> None:
    if POSITIONS in fresh and (kept := len(given[POSITIONS])) < len(fresh[POSITIONS]):
        logging.warning("positions %d to %d are new: newly initialised", kept, len(fresh[POSITIONS]) - 1)


def fill_in(fresh: Params, given: Mapping[str, np.ndarray], shardings: Params) -> Params:
    """`fresh` parameters with all that is `given` in their place, laid out as before.

    A model that grows in length keeps its first positions; the others are newly initialised.
    """
    old, layout = flatten(fresh), flatten(shardings)
    filled = {path: _placed(old[path], given[path], layout[path]) if path in given else old[path] for path in old}
    return nest(filled)


def _placed(fresh: jax.Array, given: np.ndarray, sharding: jax.sharding.Sharding) -> jax.Array:
    """`given` over the first rows of `fresh`, on any number of hosts."""
    given = given.astype(fresh.dtype, copy=False)
    if given.shape == fresh.shape:  # nothing to compute; device_put would compare what all hosts have
        return jax.make_array_from_callback(given.shape, sharding, lambda index: given[index])
    return jax.device_put(_over_first_rows(fresh, given), sharding)


@jax.jit
def _over_first_rows(array: jax.Array, rows: jax.Array) -> jax.Array:
    return array.at[: len(rows)].set(rows)
