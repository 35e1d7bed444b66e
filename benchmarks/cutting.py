"""How fast text is cut into parts, and which share of that is looking for what is suspicious in it.

    .venv/bin/python benchmarks/cutting.py [--megabytes=200]

The text is the documentation on this machine, repeated, so that all but the first copy of each document is a duplicate.
One process; its own CPU time is measured, not the wall's.
"""

import argparse
import re
import statistics
import tempfile
import time
from collections import Counter
from itertools import cycle, islice
from pathlib import Path

from etils import epath
from results import write_table

from bert_jax.data.options import RecordOptions
from bert_jax.data.parts import cut_into_parts
from bert_jax.text import python_docs
from bert_jax.text.corpus import Corpus
from bert_jax.text.corpus_checks import CorpusChecks
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.text.special_tokens import SPECIAL_TOKENS
from bert_jax.text.tokenizer import Tokenizer

REPETITIONS = 5
OPTIONS = RecordOptions(num_parts=8, holdout=0.01)


def main() -> None:
    """Cut the same text with and without looking, in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=200)
    megabytes = parser.parse_args().megabytes
    with tempfile.TemporaryDirectory() as directory:
        write_text(Path(directory) / "text.txt", megabytes * 1_000_000)
        corpus = Corpus([f"{directory}/text.txt"])
        tokenizer = write_vocabulary(Path(directory) / "vocab.txt", corpus)
        pairs = [
            (seconds(corpus, directory, None), seconds(corpus, directory, CorpusChecks(tokenizer)))
            for _ in range(REPETITIONS)
        ]
        size = corpus.size / 1e6
    alone, looking = (statistics.median(times) for times in zip(*pairs, strict=True))
    rows = [[round(size), round(size / alone, 1), round(size / looking, 1), f"{1 - alone / looking:.1%}"]]
    write_table("cutting", ["MB", "MB/s without looking", "MB/s", "share of looking"], rows, ["numpy", "google-crc32c"])


def seconds(corpus: Corpus, directory: str, checks: CorpusChecks | None) -> float:
    """CPU time of cutting the corpus."""
    started = time.process_time()
    documents = (document.sentences for document in corpus.documents(checks))
    cut_into_parts(epath.Path(directory) / "parts", documents, OPTIONS, "the text")
    if checks is not None:
        checks.report()
    return time.process_time() - started


def write_text(path: Path, size: int) -> None:
    """Write documents until there are `size` bytes."""
    documents = ["\n".join(document) for document in python_docs.documents()]
    with path.open("w", encoding="utf-8") as file:
        for document in cycle(documents):
            file.write(document + "\n\n")
            if file.write_table() > size:
                return


def write_vocabulary(path: Path, corpus: Corpus) -> Tokenizer:
    """A vocab.txt of the first documents' words and characters, read."""
    words: Counter[str] = Counter()
    for document in islice(corpus.documents(), 2000):
        words.update(re.findall(r"\w+|[^\w\s]", " ".join(document.sentences).lower()))
    characters = sorted({character for word in words for character in word})
    tokens = [*SPECIAL_TOKENS, *characters, *(f"##{one}" for one in characters), *(word for word in words if word[1:])]
    path.write_text("\n".join(tokens) + "\n", encoding="utf-8")
    return load_tokenizer(path)


if __name__ == "__main__":
    main()
