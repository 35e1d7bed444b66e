"""The progress of reading a corpus: a bar on a terminal, elsewhere a line in the log now and then."""

import sys
import time
from collections.abc import Iterator

from absl import logging
from tqdm import tqdm

from bert_jax.text.corpus import Corpus
from bert_jax.text.document import Document

_SECONDS_BETWEEN_LOG_LINES = 10


def watched(documents: Iterator[Document], corpus: Corpus, doing: str) -> Iterator[Document]:
    """The same documents of `corpus`; `doing` names the work in the log, as in "cutting"."""
    size, started = corpus.size, time.monotonic()
    logged, text, number = started, 0, 0
    with tqdm(total=size or None, desc=doing, unit="B", unit_scale=True, disable=not sys.stderr.isatty()) as bar:
        for number, document in enumerate(documents, start=1):
            yield document
            text += sum(map(len, document.sentences))
            now = time.monotonic()
            if now - logged > (_SECONDS_BETWEEN_LOG_LINES if bar.disable else 0.5):
                logged = now
                bar.update(corpus.position - bar.n)
                bar.set_postfix_str(f"{number:,} documents, {text / 1e6 / (now - started):.1f} MB/s of text")
                if bar.disable:
                    fraction = corpus.position / size if size else 0
                    logging.info("%s", _line(doing, number, text, now - started, fraction))
    elapsed = max(1e-3, time.monotonic() - started)
    logging.info("%s", _line(doing, number, text, elapsed, 1.0))


def _line(doing: str, documents: int, text: int, elapsed: float, fraction: float) -> str:
    words = [doing + ":", f"{documents:,} documents, {text / 1e6:,.1f} MB of text, {text / 1e6 / elapsed:.2f} MB/s"]
    if 0 < fraction < 1:
        words.append(f"{fraction:.0%} of the input, {elapsed / fraction - elapsed:.0f} s to go")
    return ", ".join(words).replace(":, ", ": ")
