"""How many rows packing saves on real records, and how fast packed rows are made.

    .venv/bin/python benchmarks/packing.py --records=DIR [--global_batch_size=256]

The inverse of the fill is the most that any packing can give.
"""

import argparse
import time

import numpy as np
from results import write_table

from bert_jax.data.packed_rows import packed_batches
from bert_jax.data.packing import PackedOrder, choose_packing
from bert_jax.data.source import RecordSource

STEPS = 64


def main() -> None:
    """Pack the records' training split and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", required=True, help="a directory that build_records made")
    parser.add_argument("--global_batch_size", type=int, default=256, help="sequences of a step")
    arguments = parser.parse_args()
    source = RecordSource(arguments.records, "train")
    sizes, length, batch = source.sizes(), source.manifest.max_seq_length, arguments.global_batch_size
    packing = choose_packing(sizes, length, batch, seed=0)
    order = PackedOrder(sizes, packing, seed=0)
    packed = [record for step in range(STEPS) for row in order.rows(step) for record in row]
    fill = sizes[:, 0].mean() / length
    started = time.perf_counter()
    for _ in packed_batches(source, packing, rows=range(packing.rows), seed=0, first_step=0, last_step=STEPS):
        pass
    rate = len(packed) / (time.perf_counter() - started)
    write_table(
        "packing",
        [
            "tokens a row",
            "fill",
            "1 / fill",
            f"rows for {batch}",
            "sequences a row",
            "fill, packed",
            "left out",
            "sequences/s",
        ],
        [
            [
                length,
                round(float(fill), 3),
                round(float(1 / fill), 2),
                packing.rows,
                round(len(packed) / (packing.rows * STEPS), 2),
                round(float(sizes[np.array(packed), 0].sum() / (packing.rows * STEPS * length)), 3),
                round(1 - len(packed) / (batch * STEPS), 4),
                round(rate),
            ]
        ],
    )


if __name__ == "__main__":
    main()
