"""Every setting has a range, and whatever is given for it is in it or refused in one line that names the flag."""

import dataclasses
import math
import typing

import msgspec
import pytest

from bert_jax.config import Config, ModelConfig, PhaseConfig
from bert_jax.errors import UserError
from bert_jax.model.functional import param_count
from bert_jax.model.pretraining import pretraining_model

BILLION = 10**9


def leaves(kind, prefix=""):
    """(name on the command line, type with its range) of every setting."""
    for name, field in typing.get_type_hints(kind, include_extras=True).items():
        if typing.get_origin(field) is tuple:
            yield from leaves(typing.get_args(field)[0], f"{prefix}{name}[0].")
        elif dataclasses.is_dataclass(field):
            yield from leaves(field, f"{prefix}{name}.")
        else:
            yield prefix + name, field


SETTINGS = dict(leaves(Config))
NUMBERS = [name for name, kind in SETTINGS.items() if typing.get_origin(kind) is typing.Annotated]


def with_value(name, value):
    config = Config(phases=(PhaseConfig(),))
    holder, *parts = config, *name.replace("[0]", ".0").split(".")
    for part in parts[:-1]:
        holder = holder[0] if part == "0" else getattr(holder, part)
    setattr(holder, parts[-1], value)
    return config


def refusal(name, value):
    """What is said of a value; None if it can be used."""
    try:
        with_value(name, value).check()
    except UserError as error:
        return str(error)
    return None


def test_every_number_has_a_finite_range():
    for name, kind in SETTINGS.items():
        if kind in (int, float):
            pytest.fail(f"{name} is a number without a range: Annotated[{kind.__name__}, Meta(ge=..., le=...)]")
    for name in NUMBERS:
        base, meta = typing.get_args(SETTINGS[name])
        least, most = (meta.ge, meta.gt), (meta.le, meta.lt)
        assert base in (int, float)
        assert sum(end is not None for end in least) == sum(end is not None for end in most) == 1, name
        assert all(end is None or math.isfinite(end) for end in least + most), name
        assert isinstance(meta, msgspec.Meta)


def test_there_are_settings_to_look_at():
    assert len(SETTINGS) > 50
    assert len(NUMBERS) > 35


# The values that a number may have, of those that are tried on all; with the other settings as they are by default.
MAY_BE = {
    -1: {"mesh.data", "mesh.fsdp", "mesh.tensor"},
    0: {
        "mesh.replica",
        "model.vocab_size",
        "model.type_vocab_size",
        "model.embedding_size",
        "model.num_hidden_groups",
        "model.hidden_dropout_prob",
        "model.attention_probs_dropout_prob",
        "phases[0].learning_rate",
        "phases[0].warmup_steps",
        "phases[0].accumulation_steps",
        "phases[0].packed_rows",
        "distillation.kl_weight",
        "distillation.pretraining_weight",
        "distillation.cosine_weight",
        "data.read_threads",
        "data.prefetch_batches",
        "data.cache_gigabytes",
        "data.skip_corrupt",
        "optimizer.warmup_steps",
        "optimizer.decay_steps",
        "optimizer.beta1",
        "optimizer.beta2",
        "optimizer.weight_decay",
        "optimizer.clip_norm",
        "train.seed",
        "train.max_skipped_steps",
        "train.spike_threshold",
        "evaluation.max_batches",
        "evaluation.report_sentences",
    },
    BILLION: {
        "data.skip_corrupt",
        "optimizer.clip_norm",
        "train.seed",
        "train.log_every_steps",
        "train.checkpoint_every_steps",
        "train.max_skipped_steps",
        "train.spike_threshold",
        "evaluation.every_steps",
        "evaluation.max_batches",
    },
}
TRIED = [math.nan, math.inf, -math.inf, -1, 0, BILLION, 10**30, 10**400, "text", "32", "", None, True]


def assert_one_line(said, name, value):
    is_text = isinstance(value, str) and ", not text" in said
    assert said.startswith(f"--config.{name}={repr(value) if is_text else value} cannot be used; ")
    assert "\n" not in said


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_is_in_its_range_or_refused_in_one_line(name):
    for value in TRIED:
        said = refusal(name, value)
        is_number = isinstance(value, int) and not isinstance(value, bool)
        assert (said is None) == (is_number and name in MAY_BE.get(value, ())), (value, said)
        if said:
            assert_one_line(said, name, value)
            assert isinstance(value, str) == ("not text" in said)


@pytest.mark.parametrize("name", sorted(set(SETTINGS) - set(NUMBERS)))
def test_what_is_no_number_is_of_its_type_or_refused_in_one_line(name):
    for value in TRIED:
        said, kind = refusal(name, value), SETTINGS[name]
        takes = isinstance(value, str) if kind is str else kind is bool and value is True
        if name == "profile.steps":
            takes = value in ("", "32")
        alone = (
            "init_moments",
            "model.left_to_right",
            "data.whole_word_mask",
            "distillation.init_transform",
            "distillation.freeze_positions",
        )
        if name in alone:
            takes = False
        if name == "distillation.init_layers":  # without a teacher
            takes = value == ""
        assert (said is None) == takes, (value, said)
        if said:
            assert_one_line(said, name, value)


def test_the_parameters_are_counted_as_the_model_has_them():
    for config in (
        ModelConfig(vocab_size=101, hidden_size=32, num_hidden_layers=2, num_attention_heads=8, intermediate_size=64),
        ModelConfig(vocab_size=7, hidden_size=6, num_hidden_layers=3, num_attention_heads=2, intermediate_size=5),
        ModelConfig(
            vocab_size=101,
            hidden_size=32,
            num_hidden_layers=6,
            num_attention_heads=2,
            intermediate_size=64,
            type_vocab_size=0,
            embedding_size=16,
            num_hidden_groups=2,
            next_sentence=False,
        ),
    ):
        assert config.parameters == param_count(pretraining_model(config))


def test_a_model_that_no_machine_holds_is_refused_before_it_is_built():
    wide = ModelConfig(vocab_size=30522, hidden_size=24_000, num_hidden_layers=96, intermediate_size=96_000)
    with pytest.raises(UserError, match=r"model.hidden_size=24000 .* 6.7e\+11 parameters, more than 1e\+11"):
        wide.check()
    bert_large = ModelConfig(30522, 1024, 24, 16, 4096)
    bert_large.check()
    assert 336e6 < bert_large.parameters < 337e6
