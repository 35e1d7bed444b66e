import dataclasses
import itertools
import json

import numpy as np
import pytest

from bert_jax.data.building import build_records
from bert_jax.data.flat_corpus import flat_corpus
from bert_jax.data.instances import make_rules
from bert_jax.data.manifest import read_manifest
from bert_jax.data.mersenne_twister import generators_of
from bert_jax.data.options import RecordOptions
from bert_jax.data.sentence_pairs import make_pairs
from bert_jax.data.source import RecordSource
from bert_jax.data.statistics import FILL_BINS, Statistics, total
from bert_jax.text.corpus import documents


def counts_of(text, tokenizer, output, **options):
    build_records([str(text)], tokenizer, output, RecordOptions(dupe_factor=2, **options), num_workers=1)
    return read_manifest(output).statistics["train"]


def test_fill_is_the_histogram_of_the_records(text, tokenizer, tmp_path):
    counts = counts_of(text, tokenizer, tmp_path / "records", num_parts=2, max_seq_length=48, short_seq_prob=0.5)
    source = RecordSource(tmp_path / "records", "train")
    shares = np.array([source[number]["input_mask"].mean() for number in range(len(source))])
    edges = np.arange(FILL_BINS + 1) / FILL_BINS
    expected = [int(np.sum((shares > low) & (shares <= high))) for low, high in itertools.pairwise(edges)]
    assert counts["fill"] == expected
    assert sum(expected) == counts["instances"] == len(source)
    assert sum(share > 0 for share in expected) > 5


@pytest.mark.parametrize("pairs", ["nsp", "sop", "none"])
def test_tokens_in_no_sequence_of_a_copy_are_counted(text, tokenizer, pairs):
    corpus = flat_corpus([[tokenizer.encode(line) for line in lines] for lines in documents([str(text)])][:9])
    rules, generators = make_rules(RecordOptions(pairs=pairs, max_seq_length=32), tokenizer), generators_of(1)
    statistics, expected = Statistics(), 0
    for _ in range(2):
        copy = make_pairs(corpus, rules, generators)
        used = {token for a, b, c, d in copy.segments.tolist() for token in (*range(a, b), *range(c, d))}
        expected += len(corpus.tokens) - len(used)
        statistics.add_unused(copy, corpus)
    assert (statistics.unused_tokens, statistics.copied_tokens) == (expected, 2 * len(corpus.tokens))
    assert expected > 0


@pytest.mark.slow
def test_longest_and_shortest_document(text, tokenizer, tmp_path):
    lengths = [sum(len(tokenizer.encode(line)) for line in lines) for lines in documents([str(text)])]
    for parts in (1, 3):
        counts = counts_of(text, tokenizer, tmp_path / str(parts), num_parts=parts)
        assert counts["longest_document"] == max(lengths)
        assert counts["shortest_document"] == min(lengths)
        assert counts["tokens"] == sum(lengths)


def test_total_of_shards():
    one = Statistics(documents=2, tokens=9, longest_document=7, shortest_document=2, fill=[1] * FILL_BINS)
    two = Statistics(documents=1, tokens=3, longest_document=3, shortest_document=3, fill=[5] * FILL_BINS)
    expected = Statistics(documents=3, tokens=12, longest_document=7, shortest_document=2, fill=[6] * FILL_BINS)
    assert total([one, Statistics(), two]) == expected
    assert total([]) == Statistics()


def test_it_goes_through_json():
    statistics = Statistics(documents=3, fill=list(range(FILL_BINS)))
    assert Statistics(**json.loads(json.dumps(dataclasses.asdict(statistics)))) == statistics
