"""Special tokens are found under every spelling, and missed by name."""

import pytest

from bert_jax.errors import UserError
from bert_jax.text.special_tokens import SPECIAL_TOKENS, SpecialIds, find_special_ids


@pytest.mark.parametrize(
    ("tokens", "ids"),
    [
        (SPECIAL_TOKENS, SpecialIds(pad=0, unk=1, cls=2, sep=3, mask=4)),
        (("<s>", "<pad>", "</s>", "<unk>", "a", "<mask>"), SpecialIds(pad=1, unk=3, cls=0, sep=2, mask=5)),  # RoBERTa
        (("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"), SpecialIds(pad=0, unk=1, cls=2, sep=3, mask=4)),  # ALBERT
        (("<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>"), SpecialIds(5, 0, 3, 4, 6)),  # XLNet
    ],
)
def test_every_spelling_is_found(tokens, ids):
    assert find_special_ids(tokens, "vocab.txt") == ids


@pytest.mark.parametrize("missing", SPECIAL_TOKENS)
def test_a_missing_token_is_named(missing):
    tokens = [token for token in SPECIAL_TOKENS if token != missing]
    with pytest.raises(UserError) as caught:
        find_special_ids(tokens, "some/vocab.txt")
    assert f"some/vocab.txt has no token {missing} or <" in str(caught.value)


def test_of_a_token_that_is_there_twice_the_last_counts():
    assert find_special_ids([*SPECIAL_TOKENS, "a", "a", "[SEP]"], "vocab.txt") == SpecialIds(0, 1, 2, 7, 4)
