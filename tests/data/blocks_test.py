"""Blocks of sentences: fairseq's own slices, and what must hold of any text."""

import itertools
import random

import numpy as np
import pytest

from bert_jax.data.blocks import block_ranges, blocks_of, separated
from bert_jax.data.building import build_records
from bert_jax.data.flat_corpus import flat_corpus
from bert_jax.data.options import RecordOptions
from bert_jax.data.records_report import read_input_report
from bert_jax.data.source import RecordSource
from bert_jax.errors import UserError
from bert_jax.text.load_tokenizer import load_tokenizer

SEP = 2
# What fairseq's slicer makes of lines of these sizes, 1 being an empty one, in blocks of 11.
SIZES = [5, 7, 1, 3, 4, 1, 1, 20, 2, 1, 6]
FULL = [[0, 5], [5, 16], [16, 22], [22, 42], [42, 51]]
DOC = [[0, 5], [5, 12], [13, 20], [22, 42], [42, 44], [45, 51]]


@pytest.mark.parametrize(("by_document", "expected"), [(False, FULL), (True, DOC)])
def test_blocks_are_fairseqs(by_document, expected):
    sizes = np.array(SIZES)
    assert block_ranges(sizes, sizes == 1, 11, by_document).tolist() == expected


def documents_of(lines):
    """Documents of sentences of numbered tokens whose lines, with separators, have these sizes; 1: between two."""
    ids = itertools.count(10)
    documents = [[]]
    for size in lines:
        if size == 1:
            documents.append([])
        else:
            documents[-1].append([next(ids) for _ in range(size - 1)])
    return documents


def text_of(documents):
    """All lines with their separators, empty ones between documents, as one list."""
    lines = [[*(token for sentence in document for token in [*sentence, SEP])] for document in documents]
    return [token for number, line in enumerate(lines) for token in ([SEP] if number else []) + line]


def test_a_corpus_with_separators_is_fairseqs_stream():
    documents = documents_of([5, 7, 1, 3, 4, 1, 20, 2, 1, 6])
    corpus = separated(flat_corpus(documents), SEP)
    assert corpus.tokens.tolist() == text_of(documents)
    assert np.diff(corpus.sentence_starts).tolist() == [5, 7, 1, 3, 4, 1, 20, 2, 1, 6]
    assert list(zip(corpus.document_starts, corpus.document_ends, strict=True)) == [(0, 2), (3, 5), (6, 8), (9, 10)]


def options_of(blocks, **more):
    return RecordOptions(max_seq_length=12, max_predictions_per_seq=2, pairs="none", blocks=blocks, **more)


def test_long_sentences_are_left_out_and_counted_or_cut():
    corpus = separated(flat_corpus(documents_of([5, 7, 1, 3, 4, 1, 20, 2, 1, 6, 1, 24])), SEP)
    blocks = blocks_of(corpus, options_of("full"))
    assert blocks.ranges.tolist() == [[0, 5], [5, 16], [16, 21], [41, 51]]  # without 20 and, at the end, 24
    assert (blocks.long_sentences, blocks.long_sentence_tokens) == (2, 44)
    cut = blocks_of(corpus, options_of("full", cut_long_sentences=True))
    assert cut.ranges.tolist() == [
        [0, 5],
        [5, 16],
        [16, 21],
        [21, 32],
        [32, 43],
        [43, 51],
        [51, 62],
        [62, 73],
        [73, 75],
    ]
    assert (cut.long_sentences, cut.long_sentence_tokens) == (2, 44)
    of_documents = blocks_of(corpus, options_of("doc", cut_long_sentences=True))
    assert of_documents.ranges[3:].tolist() == [[21, 32], [32, 43], [44, 50], [51, 62], [62, 73], [73, 75]]
    anywhere = blocks_of(corpus, options_of("cut"))
    assert anywhere.ranges.tolist() == [[0, 11], [11, 22], [22, 33], [33, 44], [44, 55], [55, 66], [66, 75]]


@pytest.mark.parametrize("seed", range(20))
def test_every_token_is_in_one_block_and_no_block_of_doc_in_two_documents(seed):
    rng = random.Random(seed)
    lines = [rng.choice([1, 2, 3, 5, 8, 13, 30]) for _ in range(60)]
    documents = [document for document in documents_of(lines) if document]
    corpus = separated(flat_corpus(documents), SEP)
    number = np.zeros(len(corpus.tokens), int)  # of the document; -1: of none
    number[:] = -1
    for document, (start, end) in enumerate(zip(corpus.document_starts, corpus.document_ends, strict=True)):
        number[corpus.sentence_starts[start] : corpus.sentence_starts[end]] = document
    for kind in ("full", "doc", "cut"):
        how = {} if kind == "cut" else {"cut_long_sentences": True}
        ranges = blocks_of(corpus, options_of(kind, **how)).ranges
        found = [token for start, end in ranges for token in range(start, end)]
        expected = [token for token in range(len(number)) if number[token] >= 0 or kind != "doc"]
        # A sentence that is one token longer than a block leaves its separator, which alone is no block of a document.
        alone = [token for token in expected if token not in found]
        assert all(kind == "doc" and corpus.tokens[token] == SEP for token in alone)
        assert found == [token for token in expected if token not in alone]
        assert max(end - start for start, end in ranges) <= 11
        if kind == "doc":
            assert all(len(set(number[start:end])) == 1 for start, end in ranges)
        if kind != "cut":
            dropped = blocks_of(corpus, options_of(kind))
            kept = sum(end - start for start, end in dropped.ranges)
            assert kept + dropped.long_sentence_tokens + (0 if kind == "full" else (number < 0).sum()) == len(number)


@pytest.mark.parametrize("blocks", ["full", "doc", "cut"])
def test_records_hold_the_text_once_a_copy(text, tokenizer, tmp_path, blocks):
    options = RecordOptions(
        max_seq_length=64,
        max_predictions_per_seq=10,
        dupe_factor=2,
        pairs="none",
        blocks=blocks,
        cut_long_sentences=blocks != "cut",
        holdout=0.05,
    )
    manifest = build_records([str(text)], tokenizer, tmp_path / "records", options, num_workers=1)
    source = RecordSource(tmp_path / "records", "train")
    assert manifest.pairs == "none"
    batch = source.fetch(range(len(source)))
    tokens = batch["input_mask"].sum(1)
    ids = batch["input_ids"].copy()
    for row, number in zip(*np.nonzero(batch["masked_lm_weights"]), strict=True):
        ids[row, batch["masked_lm_positions"][row, number]] = batch["masked_lm_ids"][row, number]
    assert (ids[:, 0] == tokenizer.cls_id).all()
    assert not batch["segment_ids"].any()
    assert not batch["next_sentence_labels"].any()
    rows = sorted(tuple(row[1:length].tolist()) for row, length in zip(ids, tokens, strict=True))
    assert all(rows.count(row) % 2 == 0 for row in rows[:50])  # two copies of the same blocks, with other masks
    counts = manifest.statistics["train"]
    separators = sum(row.count(tokenizer.sep_id) for row in rows)
    assert sum(map(len, rows)) - separators == 2 * counts["tokens"]
    between = counts["documents"] - 1
    if blocks != "doc":
        assert separators == 2 * (counts["sentences"] + between)
        assert tokens.mean() > (0.7 if blocks == "full" else 0.99) * 64
    if blocks != "cut":
        long = counts["long_sentences"]
        assert long > 0
        # Each is cut behind every 63rd token, and nowhere else does a row end within a sentence.
        cut = sum(row[-1] != tokenizer.sep_id for row in rows)
        assert 2 * long <= cut <= 2 * (counts["long_sentence_tokens"] // 63)
    assert read_input_report(tmp_path / "records") is not None
    assert (source.sizes() == np.stack([tokens, batch["masked_lm_weights"].sum(1)], 1)).all()


def test_one_document_of_ids_is_enough(tmp_path):
    (tmp_path / "ids.txt").write_text("\n".join(" ".join(map(str, range(5, 5 + n))) for n in (3, 9, 4, 30, 2)) + "\n")
    tokenizer = load_tokenizer("ids:50")
    options = RecordOptions(16, 3, 1, pairs="none", blocks="full")
    manifest = build_records([str(tmp_path / "ids.txt")], tokenizer, tmp_path / "records", options, num_workers=1)
    counts = manifest.statistics["train"]
    assert (counts["instances"], counts["long_sentences"], counts["long_sentence_tokens"]) == (3, 1, 31)
    report = (tmp_path / "records" / "records_report.json").read_text()
    assert '"long_sentences": 1' in report
    assert RecordSource(tmp_path / "records", "train").sizes()[:, 0].sum() == 1 + 4 + 10 + 1 + 5 + 1 + 3
    (tmp_path / "long.txt").write_text(" ".join(map(str, range(5, 45))) + "\n")
    with pytest.raises(UserError, match=r"no sentence fits into a block of --max_seq_length=16; give --cut_long_sent"):
        build_records([str(tmp_path / "long.txt")], tokenizer, tmp_path / "none", options, num_workers=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blocks": "full"}, "--blocks=full makes records without pairs; give --pairs=none too"),
        ({"blocks": "half"}, "--blocks=half must be one of full, doc, cut"),
        ({"blocks": "doc", "pairs": "none", "short_seq_prob": 0.2}, "--short_seq_prob=0.2 is not for --blocks"),
        ({"pairs": "none", "cut_long_sentences": True}, "--cut_long_sentences is for --blocks=full and doc; give one"),
    ],
)
def test_options_that_do_not_go_together(options, message):
    with pytest.raises(UserError, match=message):
        RecordOptions(**options).check()
