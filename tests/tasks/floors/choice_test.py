"""The most similar choice."""

import numpy as np

from bert_jax.tasks.floors.choice import most_similar


def test_causes_and_effects(labelled_files):
    train, dev = (labelled_files.json_lines(f"copa/{name}.jsonl") for name in ("train", "dev"))
    known = [text for row in train for text in (row["premise"], *row["choices"])]
    found = most_similar(known, [row["premise"] for row in dev], [row["choices"] for row in dev])
    assert np.mean([place == row["label"] for place, row in zip(found, dev, strict=True)]) == 0.54


def test_choices_of_any_number():
    choices = [["nothing", "the red house"], ["a"], ["?", "blue", "a blue ship"]]
    assert most_similar([], ["a red house", "x", "the blue ship"], choices) == [1, 0, 2]
    assert most_similar([], [], []) == []
    assert most_similar([], ["!"], [["?", "."]]) == [0]
