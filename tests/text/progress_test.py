"""What is said while a corpus is read."""

import logging
import re

from bert_jax import progress
from bert_jax.text import files
from bert_jax.text.corpus import Corpus
from bert_jax.text.progress import watched


def test_documents_pass_and_share_and_rate_are_logged(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LOG_LINES", 0)
    monkeypatch.setattr(files, "_CHUNK_BYTES", 1000)
    (tmp_path / "a.txt").write_text("word and word\n\n" * 20_000)
    corpus = Corpus([f"{tmp_path}/a.txt"])
    with caplog.at_level(logging.INFO, logger="absl"):
        assert len(list(watched(corpus.documents(), corpus, "cutting"))) == 20_000
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("cutting: ")]
    pattern = r"cutting: [\d,]+ documents, [\d.]+ MB of text, [\d.]+ MB/s, (\d+)%, \d+ s to go"
    shares = [int(found[1]) for line in lines if (found := re.fullmatch(pattern, line))]
    assert shares == sorted(shares)
    assert {20, 50, 80} <= set(shares)
    assert re.fullmatch(r"cutting: 20,000 documents, 0\.3 MB of text, [\d.]+ MB/s", lines[-1])
