"""Labelled pairs of sentences out of the documentation on this machine, for launch/finetune.sh: OUTPUT_DIRECTORY.

In half of them the second sentence follows the first; in the others it is one of another document.
"""

import itertools
import json
import random
import sys

from etils import epath

from bert_jax.storage.whole_file import replace_text
from bert_jax.text.corpus import documents

SPLITS = {"train": 8000, "dev": 500, "test": 1000}


def pairs() -> list[tuple[str, str]]:
    """Neighbours of at least 4 words, no two pairs of one document, in random order."""
    draw, found = random.Random(0), []
    for document in documents(["python-docs"]):
        neighbours = [pair for pair in itertools.pairwise(document) if min(len(one.split()) for one in pair) >= 4]
        if neighbours:
            found += draw.sample(neighbours, min(3, len(neighbours)))
    draw.shuffle(found)
    return found


def labelled(pair: tuple[str, str], another: str, follows: bool) -> str:
    """A JSON line."""
    second, label = (pair[1], "follows") if follows else (another, "other")
    return json.dumps({"text": pair[0], "text2": second, "label": label})


def main() -> None:
    """Write train, dev and test.jsonl."""
    directory, draw, rest = epath.Path(sys.argv[1]), random.Random(1), pairs()
    others = [second for _, second in rest[1:] + rest[:1]]  # of the next pair, which is of another document
    lines = [labelled(pair, other, draw.random() < 0.5) for pair, other in zip(rest, others, strict=True)]
    directory.mkdir(parents=True, exist_ok=True)
    for split, number in SPLITS.items():
        some, lines = lines[:number], lines[number:]
        replace_text(directory / f"{split}.jsonl", "\n".join(some) + "\n")


if __name__ == "__main__":
    main()
