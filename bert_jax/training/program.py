"""What a run computes: the model of its objective, the optimizer, where the state lies, and the step.

`pretrain` runs this step; `plan` compiles the same one for devices that are only described.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np
import optax
from jax.sharding import Mesh

from bert_jax.config import OptimizerConfig, PhaseConfig, TrainConfig
from bert_jax.model.functional import Model, Params, param_shardings
from bert_jax.objectives.objective import Objective, Sums
from bert_jax.parallel.mesh import by_sequence, check_batch, check_clip_pieces
from bert_jax.training.frozen import FrozenModel, placed
from bert_jax.training.muon import layer_matrices
from bert_jax.training.optimizer import clip, make_optimizer
from bert_jax.training.state import State, layout_lines, state_shardings
from bert_jax.training.step import StepOptions, dropout_key, jit_train_step, train_step

RunStep = Callable[..., tuple[State, Sums]]


@dataclasses.dataclass(frozen=True)
class Program:
    """A run's functions; nothing is compiled or on a device before `run_step` is called."""

    objective: Objective
    model: Model
    optimizer: optax.GradientTransformation
    mesh: Mesh
    shardings: State
    dropout_key: jax.Array
    options: StepOptions
    make_step: Callable[[StepOptions], RunStep]
    run_step: RunStep  # of state, batch and the frozen models' weights
    layout: tuple[str, ...] = ()  # for people: what weight-update sharding leaves in many copies
    frozen: tuple[FrozenModel, ...] = ()
    frozen_params: tuple[Params, ...] = ()  # of each of them: on the mesh, or ShapeDtypeStructs until they are needed

    def accumulating(self, steps: int) -> "Program":
        """The same with a step that splits its batch into so many chunks."""
        if steps == self.options.accumulation_steps:
            return self
        options = dataclasses.replace(self.options, accumulation_steps=steps)
        return dataclasses.replace(self, options=options, run_step=self.make_step(options))

    def with_frozen_weights(self, *arrays: Mapping[str, np.ndarray]) -> "Program":
        """With the weights of each frozen model on the mesh, of arrays by our paths."""
        params = tuple(placed(model, weights) for model, weights in zip(self.frozen, arrays, strict=True))
        return dataclasses.replace(self, frozen_params=params)


def make_program(
    objective: Objective,
    train: TrainConfig,
    optimizer: OptimizerConfig,
    phases: Sequence[PhaseConfig],
    mesh: Mesh,
    rates: Callable[[Params], Params] | None = None,
    frozen: tuple[FrozenModel, ...] = (),
) -> Program:
    """The program of a run; `phases` are resolved.

    `rates` gives, of a tree of parameters, what each one's learning rate is multiplied by. `frozen` are the models that
    the objective needs beside the one that is trained.

    Raises:
      UserError: a batch or a parameter does not divide over the mesh.
    """
    for phase in phases:
        check_batch(mesh, phase, phase.accumulates(train))
    check_clip_pieces(mesh, optimizer.clip_pieces)
    model = objective.model(train.dtype, train.remat, by_sequence=by_sequence(mesh))
    matrices = layer_matrices(model, param_shardings(model, mesh, optimizer.shard_over_data))
    by_each = rates(model.abstract_params) if rates else None
    transformation = make_optimizer(optimizer, phases, by_each, matrices)
    shardings = state_shardings(model, transformation, mesh, optimizer.shard_over_data)
    key = dropout_key(train.seed, train.dropout_bits, mesh.devices.flat[0].platform)
    chunks = phases[0].accumulates(train)
    options = StepOptions(chunks, optimizer.clip_pieces, clip(optimizer), train.log_every_steps)

    def make_step(options: StepOptions) -> RunStep:
        step = train_step(objective, model, transformation, shardings["params"], key, options, frozen)
        return jit_train_step(step, mesh, shardings, frozen)

    abstract = tuple(each.abstract_params for each in frozen)
    layout = layout_lines(model, shardings) if optimizer.shard_over_data else ()
    return Program(
        objective=objective,
        model=model,
        optimizer=transformation,
        mesh=mesh,
        shardings=shardings,
        dropout_key=key,
        options=options,
        make_step=make_step,
        run_step=make_step(options),
        layout=layout,
        frozen=frozen,
        frozen_params=abstract,
    )
