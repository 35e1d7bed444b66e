"""Tokens as a reader gets them: joined, with the masked ones marked."""

import json

import pytest
from etils import epath

from bert_jax.errors import UserError
from bert_jax.reporting.sentences import Pair, guesses_of, read_samples, readable, split_at_masks


def shown(sample):
    """The sentences as plain text, masked tokens in brackets."""
    return [
        "".join(" " * p.space + (f"[{p.text}]" if p.masked else p.text) for p in sentence)
        for sentence in readable(sample).sentences
    ]


def words(text):
    return {"tokens": text.split(), "predictions": []}


def prediction(position, label, *guesses):
    return {"position": position, "label": label, "guesses": [[guess, 0.1] for guess in guesses]}


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ("[CLS] deci ##mal ##s [SEP] two words [SEP] [PAD]", ["decimals", "two words"]),
        ("[CLS] it doesn ' t stop , does it ? [SEP]", ["it doesn't stop, does it?"]),
        ("[CLS] join ( path , [ a ] ) . [SEP]", ["join (path, [a])."]),
        ("[CLS] a built - in named max _ seq _ length and / or b [SEP]", ["a built-in named max_seq_length and/or b"]),
        ("[CLS] the ' x ' option [SEP]", ["the ' x ' option"]),
        ("[CLS] ▁the ▁deci mal ▁( x ) [SEP]", ["the decimal (x)"]),
        ("<s> Ġthe Ġdeci mal , Ġa </s> <pad>", ["the decimal, a"]),
        ("[CLS] ## [SEP]", ["##"]),
    ],
)
def test_tokens_are_joined_to_words(tokens, expected):
    assert shown(words(tokens)) == expected


def test_a_masked_place_shows_the_word_that_was_there():
    sample = words("[CLS] a [MASK] [MASK] string banana here [SEP] [MASK] [SEP]")
    sample["predictions"] = [
        prediction(2, "deci", "deci", "b"),
        prediction(3, "##mal", "x", "##mal"),
        prediction(5, "goes", "y", "z"),
        prediction(8, "[SEP]", "y", "z"),  # a model may have been asked for anything
    ]
    assert shown(sample) == ["a [deci][mal] string [goes] here", "[[SEP]]"]
    masked = readable(sample).masked
    assert [mask.number for mask in masked] == [1, 2, 3, 4]
    assert [mask.text for mask in masked] == ["deci", "-mal", "goes", "[SEP]"]
    assert [mask.seen for mask in masked] == ["", "", "banana", ""]
    assert [mask.verdict for mask in masked] == ["first", "among", "missed", "missed"]
    assert [(guess.text, guess.right) for guess in masked[1].guesses] == [("x", False), ("-mal", True)]


def test_next_sentence():
    assert readable(words("[CLS] a [SEP] b [SEP]")).pair is None
    follows = pair_of("next_sentence", label="next", probability_next=0.7)
    assert follows == Pair("The second follows the first in its text", "its following", 0.7, right=True)
    of_another = pair_of("next_sentence", label="random", probability_next=0.7)
    assert of_another == Pair("The second was taken from another text", "its following", 0.7, right=False)


def test_sentence_order():
    in_order = pair_of("sentence_order", label="in_order", probability_in_order=0.3)
    assert in_order == Pair("The second follows the first in its text", "its following", 0.3, right=False)
    exchanged = pair_of("sentence_order", label="exchanged", probability_in_order=0.3)
    assert exchanged.statement == "The second comes before the first, or is of another text"
    assert exchanged.right


def test_alignment():
    aligned = pair_of("alignment", label="aligned", probability_aligned=0.7)
    assert aligned == Pair("Text and ids are aligned", "their being aligned", 0.7, right=True)
    other = pair_of("alignment", label="not_aligned", probability_aligned=0.7)
    assert other == Pair("Text and ids are not aligned", "their being aligned", 0.7, right=False)


@pytest.mark.parametrize("pair", ["next", {"label": "next"}, {"label": "next", "probability_next": "0.7"}])
def test_a_pair_that_is_damaged_is_said_to_be(tmp_path, pair):
    (tmp_path / "samples.json").write_text(json.dumps([words("[CLS] a [SEP] b [SEP]") | {"next_sentence": pair}]))
    with pytest.raises(UserError, match=r"samples\.json is damaged or of another version"):
        read_samples(epath.Path(tmp_path / "samples.json"))


def pair_of(name, **stored):
    """What is read of a pair as samples.json has it."""
    return readable(words("[CLS] a [SEP] b [SEP]") | {name: stored}).pair


@pytest.mark.parametrize(
    ("share", "said"), [(0.0, "0%"), (0.0049, "<1%"), (0.0051, "1%"), (0.314, "31%"), (1.0, "100%")]
)
def test_shares_as_people_say_them(share, said):
    sample = words("[CLS] [MASK] [SEP]")
    sample["predictions"] = [{"position": 1, "label": "a", "guesses": [["a", share]]}]
    assert readable(sample).masked[0].guesses[0].percent == said


@pytest.mark.parametrize(
    ("text", "masks", "parts"),
    [
        ("the [MASK] ran", 1, ["the ", " ran"]),
        ("a <mask> tag and [MASK]", 1, ["a <mask> tag and ", ""]),  # of a vocabulary whose mask is [MASK]
        ("a <mask> tag and [MASK]", 2, ["a ", " tag and ", ""]),  # of RoBERTa's
        ("the <mask> ran", 1, ["the ", " ran"]),
    ],
)
def test_a_text_is_split_at_its_own_masks(text, masks, parts):
    assert split_at_masks(text, masks) == parts


def test_guesses_for_the_users_text_are_written_as_those_below():
    (words,) = guesses_of([[("hours", 0.25), ("##cy", 0.125), ("##", 0.0625)]])
    assert [(guess.text, guess.share) for guess in words] == [("hours", 0.25), ("-cy", 0.125), ("##", 0.0625)]
    first, second = guesses_of([[("\u0120the", 0.5), ("ing", 0.25)], [("ed", 0.5)]])
    assert [guess.text for guess in first + second] == ["the", "-ing", "-ed"]
