"""The report's bars, and what it tells of lost text; its numbers are judged in build_records_sources_test.py."""

import json
import logging

import pytest

from bert_jax.data.building import build_records
from bert_jax.data.options import RecordOptions
from bert_jax.data.records_report import REPORT, _chart, _warn
from bert_jax.data.statistics import FILL_BINS, Statistics


@pytest.mark.parametrize("length", [5, 20, 32, 128, 512])
def test_each_length_has_one_bar(length):
    ranges = [line.split()[0] for line in _chart(Statistics(), length).splitlines()]
    lengths = [number for low, high in (map(int, one.split("-")) for one in ranges) for number in range(low, high + 1)]
    assert lengths == list(range(1, length + 1))


def test_bars_are_as_long_as_what_they_count():
    fill = [0] * FILL_BINS
    fill[0], fill[1], fill[-1] = 1, 50, 100
    lines = _chart(Statistics(instances=151, fill=fill), 128).splitlines()
    assert lines[0].split() == ["1-6", "tokens", "0.7%", "#"]
    assert lines[1].split() == ["7-12", "tokens", "33.1%", 20 * "#"]
    assert lines[2].split() == ["13-19", "tokens", "0.0%"]
    assert lines[-1].split() == ["122-128", "tokens", "66.2%", 40 * "#"]


@pytest.mark.parametrize(("pairs", "is_told"), [("nsp", True), ("sop", True), ("aligned", False), ("none", False)])
def test_many_pairs_of_two_documents_are_told_where_sentences_may_be_split(caplog, pairs, is_told):
    """70 of 100."""
    _warn("train", Statistics(instances=100, random_next=70), pairs)
    assert ("train: 70% of the pairs are of two documents" in caplog.text) == is_told
    assert ("--split_sentences" in caplog.text) == is_told


@pytest.mark.parametrize(
    ("options", "lost", "remedy"),
    [
        ({"pairs": "none", "short_seq_prob": 0.0}, 10 / 40, "--blocks=full cuts no line that fits"),
        ({"pairs": "none", "blocks": "full"}, 0, ""),
        ({"pairs": "sop", "short_seq_prob": 0.0}, 12 / 40, "shorter lines lose less"),
    ],
)
def test_text_in_no_sequence_is_told_with_a_remedy(tokenizer, tmp_path, caplog, options, lost, remedy):
    """Two lines of 10 tokens, of which a sequence of 17 holds 15, or a pair in one of them 14."""
    line = " ".join(["."] * 10)
    (tmp_path / "text.txt").write_text("\n\n".join(2 * [f"{line}\n{line}"]))
    given = RecordOptions(max_seq_length=17, max_predictions_per_seq=3, dupe_factor=2, **options)
    with caplog.at_level(logging.INFO):
        build_records([f"{tmp_path}/text.txt"], tokenizer, tmp_path / "records", given, num_workers=1)
    told = [line.getMessage() for line in caplog.records if "are in no sequence" in line.getMessage()]
    assert len(told) == (lost > 0)
    assert all(f"train: {100 * lost:.1f}% of the text's tokens" in line and remedy in line for line in told)
    report = json.loads((tmp_path / "records" / REPORT).read_text())
    assert report["splits"]["train"]["unused_share"] == pytest.approx(lost, abs=1e-6)
