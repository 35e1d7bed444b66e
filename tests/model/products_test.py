"""The products against float64 NumPy, and their gradients against JAX's own, in every form and for awkward sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.model.products import contract, dense, product

FORMS = (
    "ri,io->ro",
    "bli,io->blo",
    "re,ve->rv",
    "bqnd,nde->bqe",
    "bqe,nde->bqnd",
    "bqnd,bqe->nde",
    "rv,re->ve",
    "bndk,bndq->bnkq",
    "bndk,bnkq->bqnd",
    "bnqd,bnkq->bndk",
)
WITH_GRADIENT = FORMS[:4]
SIZES = {
    "usual": dict(zip("rioblevqndk", (24, 16, 32, 4, 6, 8, 40, 10, 2, 8, 12), strict=True)),
    "odd": dict(zip("rioblevqndk", (15, 9, 21, 3, 5, 7, 33, 11, 3, 4, 13), strict=True)),
    "single": dict(zip("rioblevqndk", (1, 12, 2, 1, 1, 8, 30, 1, 1, 8, 16), strict=True)),
}


def operands(subscripts, sizes, dtype):
    """Random left and right of that form, and their float64."""
    draw = np.random.default_rng(0)
    shapes = [[sizes[letter] for letter in of] for of in subscripts.split("->")[0].split(",")]
    arrays = [jnp.asarray(draw.normal(size=shape), dtype) for shape in shapes]
    return arrays, [np.asarray(array, np.float64) for array in arrays]


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("form", FORMS)
def test_a_contraction_is_einsum_in_float32(form, dtype, sizes):
    arrays, wide = operands(form, sizes, dtype)
    result = jax.jit(contract, static_argnums=(0, 3))(form, *arrays, jnp.float32)
    assert result.dtype == jnp.float32
    np.testing.assert_allclose(result, np.einsum(form, *wide), rtol=0, atol=3e-5)


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("form", WITH_GRADIENT)
def test_a_product_and_its_gradient(form, dtype, sizes):
    arrays, wide = operands(form, sizes, dtype)
    weight = jnp.cos(jnp.arange(np.einsum(form, *wide).size)).reshape(np.einsum(form, *wide).shape).astype(dtype)

    def loss(left, right):
        return (product(form, left, right, dtype) * weight).sum().astype(jnp.float32)

    def plain_loss(left, right):
        return (jnp.einsum(form, left, right, precision="highest") * weight.astype(jnp.float32)).sum()

    assert product(form, *arrays, dtype).dtype == dtype
    ours = jax.jit(jax.grad(loss, argnums=(0, 1)))(*arrays)
    theirs = jax.grad(plain_loss, argnums=(0, 1))(*(array.astype(jnp.float32) for array in arrays))
    for our, their in zip(ours, theirs, strict=True):
        assert our.dtype == dtype
        scale = float(jnp.abs(their).max())
        np.testing.assert_allclose(
            our.astype(jnp.float32), their, rtol=0, atol=scale * (1e-6 if dtype == "float32" else 4e-3)
        )


def is_fast(function, *arrays):
    """Whether XLA gives the product to its library, by the compiled program."""
    return "__ynn_fusion" in jax.jit(function).lower(*arrays).compile().as_text()


@pytest.mark.parametrize("form", FORMS)
def test_on_cpus_bfloat16_is_in_the_fast_form(form):
    arrays, _ = operands(form, SIZES["usual"], "bfloat16")
    square = jnp.ones((16, 16), jnp.bfloat16)
    if not is_fast(lambda left, right: jnp.matmul(left, right, preferred_element_type=jnp.float32), square, square):
        pytest.skip("this XLA has no fast bfloat16 products for this processor")
    assert is_fast(lambda left, right: contract(form, left, right, jnp.bfloat16), *arrays)


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_a_product_that_is_transposed_later(batch):
    """As attention does it, also with a batch and heads of one, where XLA sees nothing but the transposition."""
    rows = jnp.asarray(np.random.default_rng(0).normal(size=(batch * 12, 16)), jnp.bfloat16)
    kernel = jnp.asarray(np.random.default_rng(1).normal(size=(16, 8)), jnp.bfloat16)

    def by_column(rows, kernel):
        return jnp.swapaxes((dense(rows, kernel) + jnp.ones((1, 8), rows.dtype)).reshape(batch, -1, 8), 1, 2)

    expected = (np.array(rows, np.float64) @ np.array(kernel, np.float64) + 1).reshape(batch, -1, 8).swapaxes(1, 2)
    np.testing.assert_allclose(np.array(jax.jit(by_column)(rows, kernel), np.float64), expected, rtol=1e-2, atol=1e-2)


def test_with_checkpoints_the_products_are_kept(capsys):
    def layer(rows, kernel):
        return jnp.sin(dense(jnp.cos(rows), kernel)).sum()

    kept = jax.checkpoint_policies.save_only_these_names("product")
    rows, kernel = jnp.ones((6, 4)), jnp.ones((4, 8))
    jax.ad_checkpoint.print_saved_residuals(jax.checkpoint(layer, policy=kept), rows, kernel)
    assert "f32[6,8] named 'product'" in capsys.readouterr().out
