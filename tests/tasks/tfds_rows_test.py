"""Labelled datasets that TFDS itself has written, read back in a process that has no TensorFlow."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from bert_jax.errors import UserError
from bert_jax.tasks.tables import read_table

ROWS = [
    {
        "sentence": f"Text {number}, 日本.\n\tNext.",
        "label": ["pos", "neg", -1][number % 3],
        "plain": number % 2,
        "score": number / 4,
        "tokens": ["a", "b"][: number % 3],
        "ner": ["O", "B-X"][: number % 3],
        "answers": {"text": ["a"] * (number % 3), "answer_start": list(range(number % 3))},
        "idx": number,
        "is_it": number % 2 == 0,
    }
    for number in range(7)
]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """The directory of a dataset as TFDS_DATA_DIR."""
    import tensorflow_datasets as tfds

    class Labelled(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "sentence": tfds.features.Text(),
                "label": tfds.features.ClassLabel(names=["neg", "pos"]),
                "plain": tfds.features.ClassLabel(num_classes=2),
                "score": np.float32,
                "tokens": tfds.features.Sequence(tfds.features.Text()),
                "ner": tfds.features.Sequence(tfds.features.ClassLabel(names=["O", "B-X"])),
                "answers": tfds.features.Sequence({"text": tfds.features.Text(), "answer_start": np.int32}),
                "idx": np.int32,
                "is_it": np.bool_,
            }
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            yield from enumerate(ROWS)

    root = tmp_path_factory.mktemp("tfds")
    for file_format in ("tfrecord", "array_record"):
        Labelled(data_dir=root / file_format, file_format=file_format).download_and_prepare()
    return root


PROGRAM = """
import json, sys
from bert_jax.tasks.tables import read_table
print(json.dumps([row for row in read_table("tfds:labelled:train").rows]))
assert not {"tensorflow", "jax", "sklearn", "scipy"} & set(sys.modules)
"""


@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
def test_every_field_as_it_was_written(dataset, file_format):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": ":".join(sys.path), "TFDS_DATA_DIR": str(dataset / file_format)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert sorted((cells for _, cells in rows), key=lambda cells: cells["idx"]) == ROWS
    assert all("labelled-train" in place and place.endswith(f"record {n}") for n, (place, _) in enumerate(rows, 1))


def test_slices_and_mistakes(dataset):
    name = f"tfds:{dataset}/tfrecord/labelled/1.0.0"
    assert len(read_table(f"{name}:train[:3]").rows) == 3
    with pytest.raises(UserError, match=r"^tfds:.*: there is no such split .* there is train$"):
        read_table(f"{name}:dev")
    with pytest.raises(UserError, match=r"^tfds:.* names no split; write tfds:NAME/CONFIG:SPLIT"):
        read_table("tfds:labelled")
