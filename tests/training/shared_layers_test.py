"""What layers that share their weights send between eight devices: as much as one of them, however often it runs."""

import collections
import re

import jax
import pytest

from bert_jax.config import Config, MeshConfig, ModelConfig, OptimizerConfig, PhaseConfig, TrainConfig
from bert_jax.parallel.axes import batch_sharding
from bert_jax.parallel.mesh import make_mesh
from bert_jax.planning.hlo import Hlo, collective_bytes, kind_of_collective
from bert_jax.training.pretraining import pretraining_program
from bert_jax.training.state import abstract_state

ROWS = 16


@pytest.fixture
def lowered(make_batch):
    """lowered(layers, groups, dtype, fsdp) -> the step on eight devices, traced and lowered."""

    def lower(layers, groups=1, dtype="float32", fsdp=1):
        model = ModelConfig(
            vocab_size=104,
            hidden_size=64,
            num_hidden_layers=layers,
            num_attention_heads=8,
            intermediate_size=128,
            max_position_embeddings=16,
            embedding_size=16,
            num_hidden_groups=groups,
        )
        config = Config(
            model=model,
            phases=(PhaseConfig(steps=100, global_batch_size=ROWS, max_seq_length=16),),
            optimizer=OptimizerConfig(warmup_steps=0),
            train=TrainConfig(dtype=dtype),
            mesh=MeshConfig(data=8 // fsdp, fsdp=fsdp),
        )
        mesh = make_mesh(config.mesh, model=model)
        program = pretraining_program(config, mesh)
        rows = batch_sharding(mesh)
        batch = {
            name: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=rows)
            for name, array in make_batch(ROWS).items()
        }
        with jax.set_mesh(mesh):
            return program.run_step.lower(abstract_state(program.model, program.optimizer, program.shardings), batch)

    return lower


def collectives(lowered):
    """Of the compiled program: kind -> how many, and how many bytes."""
    hlo, found = Hlo(lowered.compile().as_text()), collections.Counter()
    for run in hlo.runs():
        collective = hlo.collective_in(run.instruction)
        if collective is not None:
            kind = kind_of_collective(collective.opcode)
            found[kind] += run.times
            found[f"bytes of {kind}"] += run.times * collective_bytes(collective)
    return found


@pytest.mark.slow
def test_a_shared_gradient_is_summed_and_sent_once(lowered):
    shared = collectives(lowered(layers=2))
    assert shared["reduce-scatter"] > 6  # a layer's kernels, and the tables
    assert shared == collectives(lowered(layers=4)) == collectives(lowered(layers=4, fsdp=2))
    assert collectives(lowered(layers=2, groups=2))["bytes of reduce-scatter"] > shared["bytes of reduce-scatter"]


@pytest.mark.slow
def test_it_travels_in_bfloat16(lowered):
    """In the program that compilers get: XLA's for CPUs cannot sum bfloat16 between devices."""

    def sums(lowered):
        return collections.Counter(re.findall(r"stablehlo\.reduce_scatter.*?-> tensor<([^>]*)>", text(lowered)))

    def text(lowered):
        return re.sub(r"\s+", " ", lowered.as_text())

    shared = sums(lowered(layers=2, dtype="bfloat16"))
    assert sum("bf16" in kind for kind in shared.elements()) > 6
    assert shared == sums(lowered(layers=4, dtype="bfloat16"))
