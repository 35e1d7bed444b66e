"""Which records a run on others may be evaluated on."""

import contextlib

import pytest
from etils import epath

from bert_jax.config import ModelConfig
from bert_jax.data.manifest import Manifest
from bert_jax.errors import UserError
from bert_jax.training.record_checks import check_evaluated


def manifest(inputs="text", **options):
    return Manifest(32, 6, 100, "0" * 16, "wordpiece", {}, {"holdout": 0.1, **options}, [inputs], {}, "")


def is_refused(evaluated, trained_on):
    with contextlib.suppress(UserError):
        check_evaluated(epath.Path("records"), evaluated, ModelConfig(), trained_on)
        return False
    return True


CHOICES = [{"holdout": 0.2}, {"random_seed": 1}, {"split_sentences": True}, {"inputs": "other", "random_seed": 1}]


@pytest.mark.parametrize("options", CHOICES)
def test_documents_that_are_trained_on_are_no_held_out_ones(options):
    assert is_refused(manifest(**options), manifest()) == ("inputs" not in options)
    assert not is_refused(manifest(**options), manifest(**options))
    assert not is_refused(manifest(dupe_factor=1, blocks="full"), manifest())


def test_a_smaller_share_is_held_out_of_training_too():
    assert not is_refused(manifest(holdout=0.05), manifest())
    with pytest.raises(UserError, match=r"--holdout=0\.05, or leave it out$"):
        check_evaluated(epath.Path("records"), manifest(holdout=0.05), ModelConfig(), manifest(holdout=0.0))
    with pytest.raises(UserError, match=r"--random_seed=7 --holdout=0\.1, or leave it out$"):
        check_evaluated(epath.Path("records"), manifest(), ModelConfig(), manifest(random_seed=7))
