import functools

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from bert_jax.config import Config, PhaseConfig, TrainConfig
from bert_jax.data.schema import RecordFormat
from bert_jax.objectives.pretraining import PretrainingObjective
from bert_jax.parallel.mesh import make_mesh
from bert_jax.planning.scopes import part_of, product_flops
from bert_jax.training.pretraining import pretraining_program
from bert_jax.training.state import abstract_state
from configs import bert_base, bert_large


def traced_flops(config, number, predictions, devices=8):
    phase = config.phases[number]
    mesh = make_mesh(config.mesh, jax.devices()[:devices])
    program = pretraining_program(config, mesh)
    record = RecordFormat(phase.max_seq_length, predictions).zeros()
    rows = phase.global_batch_size
    batch = {name: jax.ShapeDtypeStruct((rows, *zeros.shape), zeros.dtype) for name, zeros in record.items()}
    state = abstract_state(program.model, program.optimizer, program.shardings)
    with jax.set_mesh(mesh):
        return product_flops(program.run_step.trace(state, batch).jaxpr)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("experiment", "number", "predictions"),
    [(bert_base, 0, 20), (bert_large, 1, 76)],
)
def test_bert_counts_what_the_formula_counts(experiment, number, predictions):
    config = experiment.get_config()
    config.model.vocab_size = 30_522
    phase = config.phases[number]
    formula = phase.global_batch_size * PretrainingObjective(config.model).flops_per_row(
        phase.max_seq_length, predictions
    )
    assert sum(traced_flops(config, number, predictions).values()) == pytest.approx(formula, rel=0.02)


@pytest.fixture
def config(model_config):
    return Config(model=model_config, phases=(PhaseConfig(global_batch_size=16, max_seq_length=16),))


def test_every_product_is_of_a_part(config):
    flops = traced_flops(config, 0, 4)
    assert set(flops) == {"attention", "feed-forward", "heads"}


@pytest.mark.slow
def test_newton_and_schulz_count_as_the_optimizers(config):
    without = traced_flops(config, 0, 4)
    config.optimizer.muon = True
    # Two layers of four square matrices, of which those that give the output are cut otherwise, a wide and a tall one.
    stacks = {(32, 32): (6, 2), (32, 64): (2, 2)}
    whole = {shape: [-(-number // 8) * 8 for number in numbers] for shape, numbers in stacks.items()}
    expected = sum(sum(numbers) * 5 * (4 * m * m * n + 2 * m**3) for (m, n), numbers in whole.items())
    assert traced_flops(config, 0, 4) == without | {"optimizer": expected}


@pytest.mark.slow
def test_a_batch_split_into_chunks_counts_the_same(config):
    whole = traced_flops(config, 0, 4)
    config.train.accumulation_steps = 2
    assert traced_flops(config, 0, 4) == whole


@pytest.mark.slow
def test_clip_pieces_on_each_device_count_the_same(config):
    whole = traced_flops(config, 0, 4)
    config.optimizer.clip_pieces = 16
    assert traced_flops(config, 0, 4) == whole


@pytest.mark.slow
def test_what_is_computed_again_is_counted_again(config):
    whole = traced_flops(config, 0, 4)
    config.train = TrainConfig(remat="full")
    again = traced_flops(config, 0, 4)
    assert again["attention"] > whole["attention"]
    assert again["heads"] == whole["heads"]


def test_a_loop_counts_as_often_as_it_runs():
    def step(matrix):
        return jax.lax.scan(lambda carry, _: (carry @ matrix, None), matrix, length=7)[0]

    assert product_flops(jax.make_jaxpr(step)(jnp.ones((4, 4)))) == {"other": 7 * 2 * 4**3}


def test_a_shard_map_counts_on_every_device():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    whole = functools.partial(jax.shard_map, mesh=mesh, in_specs=(P("data"), P()), out_specs=P("data"))(jnp.matmul)
    assert product_flops(jax.make_jaxpr(whole)(jnp.ones((16, 4)), jnp.ones((4, 3)))) == {"other": 2 * 16 * 4 * 3}


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("jit(step)/transpose(jvp(attention))/dot_general", "attention"),
        ("jit(step)/jvp(feed_forward)/erf", "feed-forward"),
        ("jit(step)/shard_map/jvp(embeddings)/jit(_take)/gather", "embeddings"),
        ("jit(step)/jvp(masked_lm)/jvp(loss)/add", "heads"),
        ("jit(step)/optimizer/mul", "optimizer"),
        ("jit(step)/jvp()/attention_norm/mul", "other"),
        ("batch['next_sentence_labels']", "other"),
        ("", "other"),
    ],
)
def test_the_innermost_scope_decides(name, part):
    assert part_of(name) == part
