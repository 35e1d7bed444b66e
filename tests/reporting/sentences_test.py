"""Tokens as a reader gets them: joined, with the masked ones marked."""

import pytest

from bert_jax.reporting.sentences import guesses_of, readable, split_at_masks


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
    sample = words("[CLS] a [SEP] b [SEP]")
    assert readable(sample).is_next is None
    assert readable(sample | {"next_sentence": {"label": "next", "probability_next": 0.7}}).is_next is True
    assert readable(sample | {"next_sentence": {"label": "random", "probability_next": 0.7}}).is_next is False


@pytest.mark.parametrize(("label", "is_next"), [("in_order", True), ("exchanged", False)])
def test_sentence_order(label, is_next):
    sample = words("[CLS] a [SEP] b [SEP]") | {"sentence_order": {"label": label, "probability_in_order": 0.7}}
    found = readable(sample)
    assert (found.is_next, found.probability_next, found.of_order) == (is_next, 0.7, True)


@pytest.mark.parametrize(("label", "is_aligned"), [("aligned", True), ("not_aligned", False)])
def test_alignment(label, is_aligned):
    sample = words("[CLS] a [SEP] <id:1> [SEP]") | {"alignment": {"label": label, "probability_aligned": 0.7}}
    found = readable(sample)
    assert (found.is_next, found.probability_next, found.of_alignment) == (is_aligned, 0.7, True)


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
