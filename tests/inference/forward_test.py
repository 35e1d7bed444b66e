"""How many rows a batch is computed with."""

from bert_jax.inference.forward import smaller


def test_few_rows_are_a_small_batch_of_few_shapes():
    assert [smaller(256, rows, 1) for rows in (1, 2, 5, 17, 65, 256)] == [1, 4, 16, 64, 256, 256]
    assert [smaller(200, rows, 8) for rows in (1, 9, 33, 129)] == [8, 32, 128, 200]  # of eight devices
