"""Without a GPU: the step of real configs is lowered for one, with the products that it should have there."""

import re

import jax
import pytest

from bert_jax.data.schema import RecordFormat
from bert_jax.parallel.mesh import make_mesh
from bert_jax.training.pretraining import pretraining_program
from bert_jax.training.state import abstract_state
from configs import albert_base, bert_base, bert_large, roberta_base

ROWS = 16
ANNOTATIONS = {"Sharding", "SPMDFullToShardShape", "SPMDShardToFullShape", "annotate_device_placement"}  # no kernels


def lowered(config, devices=8):
    """StableHLO of a step with so many rows, for CUDA, from shapes alone."""
    config.model.vocab_size = 30_522
    config.train.dtype, config.train.dropout_bits = "bfloat16", "rbg"
    mesh = make_mesh(config.mesh, jax.devices()[:devices])
    program = pretraining_program(config, mesh)
    record = RecordFormat(config.phases[-1].max_seq_length, 20).zeros()
    batch = {name: jax.ShapeDtypeStruct((ROWS, *zeros.shape), zeros.dtype) for name, zeros in record.items()}
    state = abstract_state(program.model, program.optimizer, program.shardings)
    with jax.set_mesh(mesh):
        return program.run_step.trace(state, batch).lower(lowering_platforms=("cuda",)).as_text()


ALL = (albert_base, bert_base, bert_large, roberta_base)


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ALL, ids=lambda one: one.__name__)
def test_a_step_is_lowered(experiment):
    config = experiment.get_config()
    text = lowered(config)
    products = re.findall(r"stablehlo\.dot_general .* : \(tensor<[^>]*x(\w+)>, tensor<[^>]*x(\w+)>\)", text)
    assert len(products) >= 3 * 6  # a layer's, forward and back
    assert {kind for pair in products for kind in pair} <= {"bf16", "f32"}
    assert sum(pair == ("bf16", "bf16") for pair in products) > 0.9 * len(products)
    assert set(re.findall(r"custom_call @(\w+)", text)) <= ANNOTATIONS
