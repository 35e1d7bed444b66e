"""What pairs of texts have in common, against scikit-learn's document frequencies."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from bert_jax.tasks.floors.pair_features import PairFeatures

PAIRS = [("a dog runs", "a dog does not run"), ("nobody runs", "a man didn't run")]


def test_overlaps_are_weighted_by_how_rare_words_are():
    rare = TfidfVectorizer(token_pattern=r"[\w']+", norm=None).fit([text for pair in PAIRS for text in pair])
    weight = dict(zip(rare.get_feature_names_out(), rare.idf_, strict=True))

    def sum_of(*words):
        return sum(weight[word] for word in words)

    common, first, second = sum_of("a", "dog"), sum_of("a", "dog", "runs"), sum_of("a", "dog", "does", "not", "run")
    found = PairFeatures(PAIRS)(PAIRS)
    assert found[0].tolist() == pytest.approx(
        [2 / 6, common / first, common / second, common / (first + second - common), 1 / 5, 3, 5, 2, 0, 1]
    )
    np.testing.assert_array_equal(found[1], [0, 0, 0, 0, 0, 2, 4, 2, True, True])


def test_texts_without_words_have_nothing_in_common():
    assert PairFeatures(PAIRS)([("", "?")]).tolist() == [[0] * 10]
