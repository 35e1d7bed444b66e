"""A trained model out of a run's workdir: one checkpoint's weights, on the host, and what is known of them."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from etils import epath

from bert_jax.errors import UserError
from bert_jax.storage.json_file import check_schema
from bert_jax.workdir.read_checkpoint import read_checkpoint, read_params
from bert_jax.workdir.step_log import lines_up_to

Tree = Any  # nested dicts of arrays


@dataclasses.dataclass(frozen=True)
class Trained:
    """A checkpoint of a run."""

    step: int
    params: Tree  # nested dict of float32 NumPy arrays
    description: dict[str, Any]  # what the run wrote beside them: config, versions ...
    validation: dict[str, Any]  # the held-out scores at that step or last before it; {} if there are none


@dataclasses.dataclass(frozen=True)
class _Description:
    """Of a checkpoint's description what an export needs."""

    config: dict[str, Any]
    vocab_fingerprint: str
    data: dict[str, Any]
    versions: dict[str, Any]


def read_trained(workdir: epath.PathLike, abstract_params: Tree, vocab_fingerprint: str, step: int | None) -> Trained:
    """The checkpoint of `step`, or the newest, of the run in `workdir` with this model and vocabulary.

    `abstract_params` are the model's, as ShapeDtypeStructs.

    Raises:
      UserError: there is no such checkpoint, or it is of another model or vocabulary.
    """
    workdir = epath.Path(workdir)
    step, params, description = read_params(workdir, _on_one_device(abstract_params), step)
    about = check_schema(
        description, _Description, f"the description of checkpoint {step} of {workdir}", "export another one (--step)"
    )
    if about.vocab_fingerprint != vocab_fingerprint:
        raise UserError(
            f"{workdir}/tokenizer is not the vocabulary that checkpoint {step} was trained with; "
            "restore that directory from the records"
        )
    return Trained(step, jax.device_get(params), description, _validation(workdir / "metrics.jsonl", step))


def read_moments(workdir: epath.PathLike, abstract_params: Tree, step: int) -> tuple[int, Tree, Tree]:
    """How many updates the optimizer of the run in `workdir` had made at the checkpoint of `step`, and Adam's moments.

    The moments, mu and nu, are nested dicts like the parameters. Raises UserError as `read_trained`.
    """
    like_params = _on_one_device(abstract_params)
    count = jax.ShapeDtypeStruct((), jnp.int32, sharding=jax.tree.leaves(like_params)[0].sharding)
    target = {"opt_state": {"adam": {"count": count, "mu": like_params, "nu": like_params}}}
    adam = jax.device_get(read_checkpoint(workdir, target, step)[1]["opt_state"]["adam"])
    return int(adam["count"]), adam["mu"], adam["nu"]


def _on_one_device(abstract: Tree) -> Tree:
    """With a sharding each: a mesh is of no use for copying."""
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device), abstract)


def _validation(path: epath.Path, step: int) -> dict[str, Any]:
    lines = lines_up_to(step, path, "move it away: it is read for the scores of the model card")
    scores = [line for line in lines if line.get("split") == "validation"]
    return scores[-1] if scores else {}
