"""Which marks are letters: known by words that are others without them."""

import unicodedata

import pytest

from bert_jax.text.lost_letters import loses_letters


def without_marks(text):
    return "".join(char for char in unicodedata.normalize("NFD", text) if unicodedata.category(char) != "Mn")


@pytest.mark.parametrize(
    "text",
    [
        "में",
        "দুই",
        "ที่",
        "ຢູ່",
        "ကို",
        "កុំ",
        "שָׁלוֹם",
        "أحمد",
        "كَتَبَ",
        "が",
        "ガラス",
        "ܫܠܳܡܳܐ",
        "བོད",
        "\U00011103\U00011127",
    ],
)
@pytest.mark.parametrize("before", ["", "Plain text, and café. ", "中文，\U0001f600 "])
def test_letters_are_lost(text, before):
    assert without_marks(text) != unicodedata.normalize("NFD", text)
    assert loses_letters((before + text).encode())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "schön, Ångström, ệ, Όδος",
        "й ё Ї",
        "שלום",
        "سلام",
        "か カ",
        "中文。「」",
        "한국어",
        "❤\ufe0f \U0001f600",
        "ກາ",
        "x\u20d7",
    ],
)
def test_accents_and_unvowelled_text_lose_none(text):
    assert not loses_letters(text.encode())
