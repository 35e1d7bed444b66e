"""The progress of reading a corpus."""

from collections.abc import Iterator

from bert_jax.progress import BarOrLog
from bert_jax.text.corpus import Corpus
from bert_jax.text.document import Document


def watched(documents: Iterator[Document], corpus: Corpus, doing: str) -> Iterator[Document]:
    """The same documents of `corpus`; `doing` names the work in the log, as in "cutting"."""
    text, seen = 0, 0

    def words(seconds: float) -> str:
        return f"{seen:,} documents, {text / 1e6:,.1f} MB of text, {text / 1e6 / seconds:.2f} MB/s"

    with BarOrLog(doing, words, corpus.size, unit="B", unit_scale=True) as progress:
        for document in documents:
            yield document
            seen += 1
            text += sum(map(len, document.sentences))
            if progress.due():
                progress.show(corpus.position)
    progress.end()
