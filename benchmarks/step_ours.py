"""A side of benchmarks/cpu_step.py and gpu_step.py: the training step that pretrain runs, on one device."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from step_setting import Setting, product_arrays, random_batch, setting_of_this_process, time_and_tell

from bert_jax.config import Config, ModelConfig, PhaseConfig
from bert_jax.parallel.axes import batch_sharding
from bert_jax.parallel.mesh import make_mesh
from bert_jax.training.pretraining import pretraining_program
from bert_jax.training.state import init_state


def main() -> None:
    """Time it."""
    setting = setting_of_this_process()
    config = run_config(setting)
    mesh = make_mesh(config.mesh)
    program = pretraining_program(config, mesh)
    state = init_state(program.model, program.optimizer, program.shardings, config.train.seed)
    batch = jax.device_put(random_batch(setting), batch_sharding(mesh))

    def step() -> float:
        nonlocal state
        state, sums = program.run_step(state, batch)
        return float(sums["masked_lm_loss"] / sums["masked_lm_weight"])

    with jax.set_mesh(mesh):
        time_and_tell(step, product(setting), device_bytes)


def device_bytes() -> int:
    """The most that was in use on the device; CPUs do not tell."""
    return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0)


def product(setting: Setting) -> Callable[[], object]:
    """A matrix product of the setting's dtype, summed in float32 as the model's are."""
    left, right = (jnp.asarray(array, setting.dtype) for array in product_arrays(setting))
    multiply = jax.jit(functools.partial(jnp.matmul, preferred_element_type=jnp.float32))
    return lambda: multiply(left, right).block_until_ready()


def run_config(setting: Setting) -> Config:
    """AdamW as the other sides have it: no clipping, and one cycle of the rate that does not matter here."""
    config = Config(
        model=ModelConfig(
            vocab_size=setting.vocab,
            hidden_size=setting.hidden,
            num_hidden_layers=setting.layers,
            num_attention_heads=setting.heads,
            intermediate_size=4 * setting.hidden,
        ),
        phases=(PhaseConfig(global_batch_size=setting.rows, max_seq_length=setting.length),),
    )
    config.train.dtype = setting.dtype
    config.optimizer.clip_norm = 0.0
    return config


if __name__ == "__main__":
    main()
