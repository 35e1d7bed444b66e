"""Every setting's check, the form on disk, what may change between two starts, and the configs that people run."""

import dataclasses
import importlib.util
import json
from pathlib import Path

import pytest

from bert_jax.config import Config, PhaseConfig, ProfileConfig
from bert_jax.config_file import FREE_TO_CHANGE, differences, from_dict, to_json
from bert_jax.errors import UserError

CONFIGS = sorted((Path(__file__).parent.parent / "configs").glob("*.py"))


def changed(key, value, config=None):
    """A config with one setting changed, by its name on the command line."""
    config = config or Config(phases=(PhaseConfig(), PhaseConfig()))
    *parents, last = key.replace("[", ".").replace("]", "").split(".")
    holder = config
    for name in parents:
        holder = holder[int(name)] if name.isdigit() else getattr(holder, name)
    setattr(holder, last, value)
    return config


def settings(config):
    """Every setting's name on the command line, with its value."""

    def leaves(value, name):
        if dataclasses.is_dataclass(value):
            for field in dataclasses.fields(value):
                yield from leaves(getattr(value, field.name), f"{name}.{field.name}")
        elif isinstance(value, tuple):
            for number, item in enumerate(value):
                yield from leaves(item, f"{name}[{number}]")
        else:
            yield name.removeprefix("."), value

    return dict(leaves(config, ""))


def test_the_defaults_are_in_order():
    Config().check()


@pytest.mark.parametrize(
    ("key", "value", "remedy"),
    [
        ("scale", 0.0, "positive"),
        ("phases", (), "at least one"),
        ("model.hidden_size", 0, "positive"),
        ("model.hidden_size", 770, "multiple of num_attention_heads=12"),
        ("model.num_hidden_layers", -1, "positive"),
        ("model.num_attention_heads", 0, "positive"),
        ("model.intermediate_size", 0, "positive"),
        ("model.max_position_embeddings", 0, "positive"),
        ("model.type_vocab_size", 0, "positive"),
        ("model.vocab_size", -5, "0 for the records'"),
        ("model.hidden_act", "relu", "gelu or gelu_tanh"),
        ("model.hidden_dropout_prob", 1.0, "0 <= p < 1"),
        ("model.attention_probs_dropout_prob", -0.1, "0 <= p < 1"),
        ("optimizer.learning_rate", 0.0, "positive"),
        ("optimizer.warmup_steps", -1, "0 or more"),
        ("optimizer.beta1", 1.0, "0 <= beta < 1"),
        ("optimizer.beta2", -0.1, "0 <= beta < 1"),
        ("optimizer.clip_norm", -1.0, "0 for no clipping"),
        ("optimizer.clip_pieces", 0, "give 1"),
        ("train.dtype", "float16", "float32 or bfloat16"),
        ("train.dropout_bits", "dice", "auto, threefry or rbg"),
        ("train.accumulation_steps", 0, "positive"),
        ("train.log_every_steps", 0, "positive"),
        ("train.checkpoint_every_steps", 0, "positive"),
        ("train.keep_checkpoints", 0, "positive"),
        ("train.max_skipped_steps", -1, "0 or a positive"),
        ("train.spike_threshold", -0.5, "0 or a positive"),
        ("profile.steps", "5-3", "FIRST-LAST"),
        ("profile.steps", "0-3", "FIRST-LAST"),
        ("profile.steps", "now", "FIRST-LAST"),
        ("evaluation.every_steps", 0, "positive"),
        ("mesh.data", 0, "-1 for all devices left"),
        ("mesh.fsdp", -2, "-1 for all devices left"),
        ("mesh.tensor", 0, "-1 for all devices left"),
        ("phases[1].steps", 0, "positive"),
        ("phases[0].global_batch_size", 0, "positive"),
        ("phases[1].max_seq_length", 0, "positive"),
        ("phases[1].max_seq_length", 513, "model.max_position_embeddings=512"),
        ("phases[1].learning_rate", -1e-4, "0 or a positive"),
        ("phases[0].warmup_steps", -1, "0 or a positive"),
        ("phases[1].warmup_steps", 10, "phases[1].learning_rate"),
    ],
)
def test_a_value_that_cannot_be_names_its_flag_and_the_remedy(key, value, remedy):
    with pytest.raises(UserError) as error:
        changed(key, value).check()
    message = str(error.value)
    assert f"--config.{key}={value} cannot be used" in message
    assert remedy in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train.accumulation_steps": 3}, ["phases[0].global_batch_size=256", "train.accumulation_steps=3"]),
        ({"optimizer.clip_pieces": 100}, ["phases[0].global_batch_size=256", "optimizer.clip_pieces=100"]),
        (
            {"optimizer.clip_pieces": 32, "train.accumulation_steps": 2},
            ["train.accumulation_steps=2", "optimizer.clip_pieces=32"],
        ),
    ],
)
def test_settings_that_do_not_go_together_name_both(changes, words):
    config = None
    for key, value in changes.items():
        config = changed(key, value, config)
    with pytest.raises(UserError) as error:
        config.check()
    assert all(word in str(error.value) for word in words)


def test_what_is_on_disk_is_read_back_the_same():
    config = Config(phases=(PhaseConfig(steps=7), PhaseConfig(max_seq_length=512, learning_rate=1e-5)))
    for number, (key, value) in enumerate(settings(config).items()):
        if isinstance(value, int | float) and not isinstance(value, bool):
            changed(key, type(value)(number + 1), config)  # no two alike, so that none can be mixed up
    assert from_dict(json.loads(to_json(config))) == config


def test_a_config_of_another_version_says_so():
    values = json.loads(to_json(Config()))
    for broken in (
        values | {"model": values["model"] | {"wings": 2}},
        {name: value for name, value in values.items() if name != "phases"},
        values | {"phases": [{"legs": 4}]},
    ):
        with pytest.raises(UserError, match=r"another version.*--workdir"):
            from_dict(broken)


def test_a_setting_of_which_an_earlier_version_knew_nothing_has_its_default():
    values = json.loads(to_json(Config()))
    del values["train"]["remat"], values["evaluation"]
    assert from_dict(values) == Config()


def test_every_difference_that_changes_the_result_is_told_and_no_other():
    for key, value in settings(Config()).items():
        other = changed(key, "another" if isinstance(value, str) else value + 1, Config(phases=(PhaseConfig(),)))
        told = differences(Config(), other)
        dotted = key.replace("[", ".").replace("]", "")
        if dotted.startswith(FREE_TO_CHANGE):
            assert told == []
        else:
            assert told == [f"{dotted}={value}, not {settings(other)[key]}"]


@pytest.mark.parametrize(("steps", "span"), [("", None), ("7", (7, 7)), ("100-105", (100, 105))])
def test_which_steps_are_traced(steps, span):
    assert Config(profile=ProfileConfig(steps)).profile.span() == span


def test_another_number_of_phases_is_a_difference():
    assert any("phases.1.steps=None, not 1000" in told for told in differences(Config(), changed("scale", 1.0)))


def test_scale_makes_a_run_shorter_and_nothing_else():
    config = Config(
        phases=(
            PhaseConfig(steps=900_000),
            PhaseConfig(steps=100_000, max_seq_length=512, learning_rate=1e-4, warmup_steps=400),
        ),
        scale=0.001,
    )
    before = dataclasses.asdict(config)
    short = config.resolved()
    assert dataclasses.asdict(config) == before  # a copy
    steps = {
        "phases.0.steps=900000, not 900",
        "phases.1.steps=100000, not 100",
        "phases.1.warmup_steps=400, not 1",  # never less than one
        "optimizer.warmup_steps=10000, not 10",
        "scale=0.001, not 1.0",
    }
    assert set(differences(config, short)) == steps
    assert short.total_steps == 1000
    assert short.resolved() == short
    assert dataclasses.replace(config, scale=1e-9).resolved().total_steps == 2
    assert Config().resolved() == Config()


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(), module.__doc__


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_is_in_order_also_when_short_and_says_how_to_run_it(path):
    config, doc = load(path)
    config.check()
    dataclasses.replace(config, scale=0.001).resolved().check()
    assert f"--config=configs/{path.name}" in doc


@pytest.mark.parametrize(("name", "layers", "width"), [("bert_base", 12, 768), ("bert_large", 24, 1024)])
def test_the_papers_runs_are_the_papers(name, layers, width):
    config, _ = load(next(path for path in CONFIGS if path.stem == name))
    model, optimizer = config.model, config.optimizer
    assert (model.num_hidden_layers, model.hidden_size, model.intermediate_size) == (layers, width, 4 * width)
    assert model.hidden_size // model.num_attention_heads == 64
    assert (model.hidden_dropout_prob, model.attention_probs_dropout_prob, model.hidden_act) == (0.1, 0.1, "gelu")
    assert [(phase.steps, phase.global_batch_size, phase.max_seq_length) for phase in config.phases] == [
        (900_000, 256, 128),
        (100_000, 256, 512),
    ]
    assert config.total_steps == 1_000_000
    assert not any(phase.learning_rate for phase in config.phases)  # one schedule
    assert (optimizer.learning_rate, optimizer.warmup_steps, optimizer.weight_decay) == (1e-4, 10_000, 0.01)
    assert (optimizer.beta1, optimizer.beta2, optimizer.epsilon) == (0.9, 0.999, 1e-6)
    assert (optimizer.bias_correction, optimizer.trust_ratio) == (False, False)
