"""The labelled files beside the project, read by a few plain lines."""

import json
import lzma
from pathlib import Path

TASKS = Path(__file__).resolve().parents[2].parent / "shared" / "tasks"


def text(name):
    path = TASKS / name
    return lzma.open(path, "rt", encoding="utf-8").read() if path.suffix == ".xz" else path.read_text("utf-8")


def rows(name):
    """Of a TSV."""
    return [line.split("\t") for line in text(name).splitlines()]


def json_lines(name):
    return [json.loads(line) for line in text(name).splitlines()]


def sentences(name, separator, column=-1):
    """Words of each sentence, and tags of each sentence; a 0 is an O."""
    blocks = [[]]
    for line in text(name).splitlines():
        if not line.strip() or line.startswith("-DOCSTART-"):
            blocks.append([])
        else:
            fields = line.split(separator)
            blocks[-1].append((fields[0], "O" if fields[column] == "0" else fields[column]))
    blocks = [block for block in blocks if block]
    return [[word for word, _ in block] for block in blocks], [[tag for _, tag in block] for block in blocks]


def questions(name):
    """(question, context, gold answers) of each question of a SQuAD file."""
    return [
        (question["question"], paragraph["context"], [answer["text"] for answer in question["answers"]])
        for document in json.loads(text(name))["data"]
        for paragraph in document["paragraphs"]
        for question in paragraph["qas"]
    ]
