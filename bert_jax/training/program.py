"""What a run computes, from its config and a mesh alone: the model, its optimizer, where the state lies, and the step.

`pretrain` runs this step; `plan` compiles the same one for devices that are only described.
"""

import dataclasses
from collections.abc import Callable

import optax
from jax.sharding import Mesh

from bert_jax.config import Config
from bert_jax.parallel.mesh import check_batch, check_clip_pieces, check_heads
from bert_jax.training.optimizer import clip, make_optimizer
from bert_jax.training.state import Model, State, build_model, state_shardings
from bert_jax.training.step import Sums, dropout_key, jit_train_step, train_step


@dataclasses.dataclass(frozen=True)
class Program:
    """A run's functions; nothing is compiled or on a device before `run_step` is called."""

    model: Model
    optimizer: optax.GradientTransformation
    shardings: State
    run_step: Callable[..., tuple[State, Sums]]


def make_program(config: Config, mesh: Mesh) -> Program:
    """The program of a resolved config whose vocab_size is known.

    Raises:
      UserError: a batch or a parameter does not divide over the mesh.
    """
    for phase in config.phases:
        check_batch(mesh, phase, config.train.accumulation_steps)
    check_clip_pieces(mesh, config.optimizer.clip_pieces)
    check_heads(mesh, config.model.num_attention_heads)
    platform = mesh.devices.flat[0].platform
    model = build_model(config.model, config.train.dtype, config.train.remat, by_sequence=platform == "tpu")
    optimizer = make_optimizer(config.optimizer, config.phases)
    shardings = state_shardings(model, optimizer, mesh, config.optimizer.shard_over_data)
    key = dropout_key(config.train.seed, config.train.dropout_bits, platform)
    pieces, cuts = config.optimizer.clip_pieces, config.train.accumulation_steps
    step = train_step(
        model, optimizer, shardings["params"], cuts, key, pieces, clip(config.optimizer), config.train.log_every_steps
    )
    return Program(model, optimizer, shardings, jit_train_step(step, mesh, shardings))
