"""The bars of the report; its numbers are judged in build_records_sources_test.py."""

import pytest

from bert_jax.data.records_report import _chart
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
