import jax
import jax.numpy as jnp

from bert_jax.planning.compilation import Compiled
from bert_jax.planning.hlo import Hlo
from bert_jax.planning.memory import kept_for_backward, memory_by_kind

WIDTH, ROWS, LAYERS = 256, 512, 6


def compiled_step(remat):
    def loss(weights, hidden):
        def layer(hidden, weight):
            return jnp.sin(hidden @ weight)

        for weight in weights:
            hidden = (jax.checkpoint(layer) if remat else layer)(hidden, weight)
        return hidden.sum()

    step = jax.jit(jax.grad(loss))
    return step.lower([jnp.ones((WIDTH, WIDTH))] * LAYERS, jnp.ones((ROWS, WIDTH))).compile()


def test_each_layer_keeps_its_activations():
    kept = kept_for_backward(Hlo(compiled_step(remat=False).as_text()))
    one = ROWS * WIDTH * 4
    assert LAYERS * one <= kept <= 3 * LAYERS * one  # the input of each sine; of each layer; perhaps the cosine


def test_nothing_is_kept_where_nothing_goes_back():
    text = jax.jit(jnp.matmul).lower(jnp.ones((4, 4)), jnp.ones((4, 4))).compile().as_text()
    assert kept_for_backward(Hlo(text)) == 0


def test_the_kinds_add_up_to_the_compilers_sum():
    step = compiled_step(remat=False)
    said = step.memory_analysis()
    sizes = {"parameters": LAYERS * WIDTH**2 * 4, "optimizer state": 0, "batch": ROWS * WIDTH * 4}
    sizes |= {
        "arguments": said.argument_size_in_bytes,
        "temporaries": said.temp_size_in_bytes,
        "program": said.generated_code_size_in_bytes,
    }
    memory = memory_by_kind(Compiled(step.as_text(), {}, sizes, None, 0.0), Hlo(step.as_text()))
    assert sum(memory.values()) == sizes["arguments"] + sizes["temporaries"] + sizes["program"]
    assert memory["parameters"] == sizes["parameters"]
    assert memory["activations"] > 0
