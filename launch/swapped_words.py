"""Labelled sentences out of the documentation on this machine, for launch/finetune.sh: OUTPUT_DIRECTORY.

In half of them two neighbouring words are swapped. Which words there are says nothing then: their order does.
"""

import json
import random
import sys

from etils import epath

from bert_jax.storage.whole_file import replace_text
from bert_jax.text.corpus import documents

SPLITS = {"train": 8000, "dev": 500, "test": 1000}


def sentences() -> list[str]:
    """Different sentences of 6 to 20 words, in random order."""
    found = {one for document in documents(["python-docs"]) for one in document if 6 <= len(one.split()) <= 20}
    return random.Random(0).sample(sorted(found), len(found))


def labelled(sentence: str, draw: random.Random) -> dict[str, str]:
    """The sentence as it is, or with two neighbouring words swapped."""
    words = sentence.split()
    places = [place for place in range(len(words) - 1) if words[place].lower() != words[place + 1].lower()]
    if not places or draw.random() < 0.5:
        return {"text": sentence, "label": "as written"}
    place = draw.choice(places)
    words[place : place + 2] = words[place + 1], words[place]
    return {"text": " ".join(words), "label": "swapped"}


def main() -> None:
    """Write train, dev and test.jsonl."""
    directory, draw, rest = epath.Path(sys.argv[1]), random.Random(1), sentences()
    directory.mkdir(parents=True, exist_ok=True)
    for split, number in SPLITS.items():
        lines, rest = [json.dumps(labelled(one, draw)) for one in rest[:number]], rest[number:]
        replace_text(directory / f"{split}.jsonl", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
