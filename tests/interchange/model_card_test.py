"""The card of weights whose run is unusual: stopped in its second phase, never scored, a score that was no number."""

import dataclasses
import json

import pytest

from bert_jax.config import Config, PhaseConfig
from bert_jax.config.file import to_json
from bert_jax.interchange.model_card import model_card
from bert_jax.text.tokenizer import Tokenizer
from bert_jax.text.wordpiece import WordPiece
from bert_jax.workdir.trained import Trained

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"]


@pytest.fixture
def card(model_config):
    tokenizer = Tokenizer(WordPiece(TOKENS, lowercase=False), made_by={"input": ["corpus.txt"]})
    config = Config(model=model_config, phases=(PhaseConfig(900, 256, 128), PhaseConfig(1000, 128, 512)))

    def make(library="transformers", model=model_config, **changes):
        description = {
            "config": json.loads(to_json(config)),
            "data": {"inputs": [["corpus.txt", 99, "0123"]], "options": {"dupe_factor": 5}},
            "versions": {"bert_jax": "0.1.0"},
        }
        trained = Trained(step=1234, params={}, description=description, validation={})
        return model_card(dataclasses.replace(trained, **changes), model, tokenizer, library)

    return make


def test_a_run_stopped_in_its_second_phase(card):
    text = card()
    assert "after 1,234 of 1,900 steps" in text
    assert "| 128 | 256 | 900 of 900 |" in text
    assert "| 512 | 128 | 334 of 1,000 |" in text


def test_the_vocabulary_says_what_made_it(card):
    assert "6 tokens (wordpiece, cased)" in card()
    assert '`{"input": ["corpus.txt"]}`' in card()


def test_the_records_say_what_made_them(card):
    assert 'Made from `[["corpus.txt", 99, "0123"]]` with `{"dupe_factor": 5}`.' in card()


def test_no_scores(card):
    assert "None were taken." in card()


def test_a_score_that_was_no_number_is_left_out(card):
    text = card(validation={"split": "validation", "step": 1200, "time": 7.5, "loss": None, "masked_lm_loss": 2.0})
    assert "At step 1,200" in text
    assert "| masked_lm_loss | 2.0000 |" in text
    assert "| loss |" not in text
    assert "7.5" not in text


def test_layers_that_are_not_berts_are_named(card, model_config):
    assert "Other than" not in card()
    text = card(model=dataclasses.replace(model_config, use_bias=False, position_embedding="rotary"))
    assert "2 token types.\nOther than in BERT: use_bias=False, position_embedding=rotary.\n" in text


def test_what_the_files_are_for(card):
    assert "\nlibrary_name: tensorflow\n" in card("tensorflow")
