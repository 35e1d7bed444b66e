"""A student's step beside its teacher: however it is split, and what of the teacher is kept where."""

import dataclasses
import functools
import math

import jax
import numpy as np
import pytest

from bert_jax.config import Config, DistillationConfig, MeshConfig, OptimizerConfig, PhaseConfig, TrainConfig
from bert_jax.model.functional import flatten
from bert_jax.model.pretraining import pretraining_model
from bert_jax.parallel.axes import batch_sharding
from bert_jax.parallel.mesh import make_mesh
from bert_jax.training.nonfinite import jit_search
from bert_jax.training.pretraining import pretraining_program
from bert_jax.training.state import init_state

ROWS, STEPS = 16, 2


@pytest.fixture(scope="module")
def teacher(model_config):
    """Deeper than the student, of the same width."""
    return dataclasses.replace(model_config, num_hidden_layers=2)


@pytest.fixture(scope="module")
def weights(teacher):
    """The teacher's, wide ones, so that there is much to learn."""
    made = jax.jit(pretraining_model(teacher).init)(jax.random.key(7))
    return {path: 5 * np.asarray(array) for path, array in flatten(made).items()}


@pytest.fixture(scope="module")
def run_on(model_config, teacher, weights, make_batch):
    """run_on(sizes of the mesh, accumulation_steps) -> the program; in NumPy its last state, and each step's sums."""

    def run(sizes, accumulation_steps=1, freeze_positions=False):
        config = Config(
            model=dataclasses.replace(
                model_config, num_hidden_layers=1, type_vocab_size=0, next_sentence=False, hidden_dropout_prob=0.1
            ),
            phases=(PhaseConfig(steps=10, global_batch_size=ROWS, max_seq_length=16),),
            optimizer=OptimizerConfig(learning_rate=1e-3, warmup_steps=0),
            train=TrainConfig(accumulation_steps=accumulation_steps),
            distillation=DistillationConfig(freeze_positions=freeze_positions),
        )
        mesh = make_mesh(MeshConfig(*sizes), jax.devices()[: math.prod(sizes)])
        program = pretraining_program(config, mesh, teacher).with_frozen_weights(weights)
        state, seen = init_state(program.model, program.optimizer, program.shardings, seed=0), []
        with jax.set_mesh(mesh):
            for seed in range(STEPS):
                batch = jax.device_put(make_batch(ROWS, seed), batch_sharding(mesh))
                state, sums = program.run_step(state, batch, *program.frozen_params)
                seen.append(jax.tree.map(np.asarray, sums))
        return program, jax.tree.map(np.asarray, state), seen

    return functools.cache(run)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sizes", "accumulation_steps"),
    [
        pytest.param((8, 1, 1), 1, id="data"),
        pytest.param((2, 2, 2), 2, id="all-axes-in-two-chunks"),
        pytest.param((2, 2, 1, 2), 1, id="two-groups"),
    ],
)
def test_eight_devices_are_one(run_on, sizes, accumulation_steps):
    (_, state, sums), (_, expected, of_one) = run_on(sizes, accumulation_steps), run_on((1, 1, 1))
    for mine, theirs in zip(sums, of_one, strict=True):
        assert mine.keys() == theirs.keys()
        for name in theirs:
            np.testing.assert_allclose(mine[name], theirs[name], rtol=1e-4, err_msg=name)
    for path, theirs in flatten(expected["params"]).items():
        # See step_test.py: Adam divides by sqrt(v).
        np.testing.assert_allclose(flatten(state["params"])[path], theirs, rtol=0, atol=2e-5, err_msg=path)


def test_frozen_positions_stay_to_the_bit_and_nothing_else_does(run_on):
    program, state, _ = run_on((1, 1, 1), 1, True)
    begins = init_state(program.model, program.optimizer, program.shardings, seed=0)["params"]
    now = flatten(state["params"])
    still = {path for path, array in flatten(begins).items() if np.array_equal(np.asarray(array), now[path])}
    assert still == {"encoder/embeddings/position/embedding"}  # weight decay is on


@pytest.mark.slow
def test_the_state_is_that_of_a_student_alone(run_on):
    program, state, _ = run_on((8, 1, 1), 1)
    alone = pretraining_model(program.objective.config).abstract_params
    shapes = {path: leaf.shape for path, leaf in flatten(alone).items()}
    for tree in (state["params"], state["opt_state"]["adam"].mu, state["opt_state"]["adam"].nu):
        assert {path: leaf.shape for path, leaf in flatten(tree).items()} == shapes


@pytest.mark.slow
def test_the_teachers_weights_stay_and_are_sharded_as_a_students(run_on, weights):
    program, _, _ = run_on((8, 1, 1), 1)
    (teacher,) = program.frozen_params
    for path, array in flatten(teacher).items():
        np.testing.assert_array_equal(array, weights[path])
    table = teacher["encoder"]["embeddings"]["word"]["embedding"]
    student = program.shardings["params"]["encoder"]["embeddings"]["word"]["embedding"]
    assert table.sharding == student
    assert math.prod(table.sharding.shard_shape(table.shape)) == table.size // 8


@pytest.mark.slow
def test_a_step_that_is_searched_for_bad_numbers_is_the_step(run_on, make_batch):
    program, _, sums = run_on((2, 2, 2), 2)
    state = init_state(program.model, program.optimizer, program.shardings, seed=0)
    found = jit_search(program)(1, state["params"], make_batch(ROWS, 0))
    assert (found.weights, found.outputs, found.gradients) == ([], [], [])
    assert found.sums["teacher_kl"] == pytest.approx(float(sums[0]["teacher_kl"]), rel=1e-5)
