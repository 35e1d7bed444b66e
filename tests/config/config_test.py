"""What of the settings does not go together, what may change between two starts, and the configs that people run."""

import dataclasses
import importlib.util
from pathlib import Path

import pytest

from bert_jax.config import (
    Config,
    DistillationConfig,
    FineTuningConfig,
    ModelConfig,
    OptimizerConfig,
    PhaseConfig,
    ProfileConfig,
    TaskDistillationConfig,
    without_peak,
)
from bert_jax.config.file import differences
from bert_jax.errors import UserError

FINE_TUNING = Path(__file__).parents[2] / "configs" / "finetune.py"
CONFIGS = sorted(set(FINE_TUNING.parent.glob("*.py")) - {FINE_TUNING})


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
        ("scale", 0.0, "above 0, up to 1000"),
        ("phases", (), "at least one"),
        ("model.hidden_size", 0, "a whole number from 1 to 100000"),
        ("model.hidden_size", 770, "multiple of num_attention_heads=12"),
        ("model.hidden_size", 99_996, "5.1e+11 parameters, more than 1e+11"),
        ("model.hidden_size", 768.0, "a whole number from 1"),
        ("model.num_hidden_groups", 5, "a divisor of num_hidden_layers=12"),
        ("model.num_hidden_groups", 24, "a divisor of num_hidden_layers=12"),
        ("model.left_to_right", True, "next_sentence=False"),
        ("model.initializer", "uniform", "use truncated_normal or normal"),
        ("model.hidden_act", "relu", "use gelu or gelu_tanh"),
        ("model.hidden_act", 3, "use gelu or gelu_tanh"),
        ("model.hidden_dropout_prob", 1.0, "from 0 to less than 1"),
        ("optimizer.beta1", 1.0, "from 0 to less than 1"),
        ("train.dtype", "float16", "float32 or bfloat16"),
        ("train.dropout_bits", "dice", "auto, threefry or rbg"),
        ("train.check_nans", 1, "True or False"),
        ("data.records", 128, "give text"),
        ("train", "x", "give a TrainConfig"),
        ("phases", 3, "give a tuple of PhaseConfig"),
        ("phases", (3,), "give a tuple of PhaseConfig"),
        ("profile.steps", "5-3", "FIRST-LAST"),
        ("profile.steps", "0-3", "FIRST-LAST"),
        ("profile.steps", "now", "FIRST-LAST"),
        ("profile.steps", "1-" + "9" * 5000, "FIRST-LAST"),
        ("mesh.data", 0, "-1 for all devices left"),
        ("mesh.tensor", 0, "-1 for all devices left"),
        ("phases[1].steps", 0, "a whole number from 1 to 100000000"),
        ("phases[1].max_seq_length", 513, "model.max_position_embeddings=512"),
        ("phases[1].warmup_steps", 10, "phases[1].learning_rate"),
        ("phases[0].packed_rows", 5, "data.packing=true"),
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
        ({"phases[0].steps": 10**8}, ["--config.scale=1.0", "100001000 steps, more than 100000000"]),
        ({"phases[0].steps": 10**6, "scale": 1000.0}, ["--config.scale=1000.0", "more than 100000000"]),
        ({"train.accumulation_steps": 3}, ["phases[0].global_batch_size=256", "train.accumulation_steps=3"]),
        (
            {"phases[1].accumulation_steps": 5},
            ["phases[1].global_batch_size=256", "give a multiple of phases[1].accumulation_steps=5"],
        ),
        (
            {"optimizer.clip_pieces": 32, "phases[0].accumulation_steps": 2},
            ["phases[0].accumulation_steps=2", "optimizer.clip_pieces=32"],
        ),
        ({"optimizer.clip_pieces": 100}, ["phases[0].global_batch_size=256", "optimizer.clip_pieces=100"]),
        (
            {"optimizer.clip_pieces": 32, "train.accumulation_steps": 2},
            ["train.accumulation_steps=2", "optimizer.clip_pieces=32"],
        ),
        (
            {"optimizer.warmup_steps": 400, "optimizer.decay_steps": 1601},
            ["--config.optimizer.decay_steps=1601", "1600 steps after its warm-up"],
        ),
        ({"optimizer.decay_steps": 1}, ["--config.optimizer.decay_steps=1", "0 steps after its warm-up"]),
        ({"optimizer.muon": True, "optimizer.trust_ratio": True}, ["optimizer.trust_ratio=True", "optimizer.muon"]),
    ],
)
def test_settings_that_do_not_go_together_name_both(changes, words):
    config = None
    for key, value in changes.items():
        config = changed(key, value, config)
    with pytest.raises(UserError) as error:
        config.check()
    assert all(word in str(error.value) for word in words)


# Where a run's files lie, how they are read, what is logged, kept and watched, and over which devices it is spread.
FREE_IN_ALL = {
    "mesh.data",
    "mesh.fsdp",
    "mesh.replica",
    "mesh.tensor",
    "optimizer.shard_over_data",
    "profile.steps",
    "teacher",
    "train.check_nans",
    "train.checkpoint_every_steps",
    "train.compilation_cache",
    "train.keep_checkpoints",
    "train.log_every_steps",
    "train.max_skipped_steps",
    "train.remat",
    "train.spike_threshold",
    "train.wandb",
}
FREE_IN_PRETRAINING = {
    "data.allow_other_records",
    "data.cache_directory",
    "data.cache_gigabytes",
    "data.prefetch_batches",
    "data.read_threads",
    "data.records",
    "data.skip_corrupt",
    "evaluation.every_steps",
    "evaluation.max_batches",
    "evaluation.records",
    "evaluation.report_sentences",
    "phases[0].accumulation_steps",
    "train.accumulation_steps",
}
FREE_IN_FINE_TUNING = {"task.dev", "task.test", "task.train"}


@pytest.mark.parametrize(
    ("make", "free"),
    [
        (lambda: Config(phases=(PhaseConfig(),)), FREE_IN_ALL | FREE_IN_PRETRAINING),
        (FineTuningConfig, FREE_IN_ALL | FREE_IN_FINE_TUNING),
    ],
    ids=["pretraining", "fine-tuning"],
)
def test_every_difference_that_changes_the_result_is_reported_and_no_other(make, free):
    reported = set()
    for key, value in settings(make()).items():
        other = changed(key, "another" if isinstance(value, str) else value + 1, make())
        if found := differences(make(), other):
            reported.add(key)
            dotted = key.replace("[", ".").replace("]", "")
            assert found == [f"{dotted}={value}, not {settings(other)[key]}"]
    assert settings(make()).keys() - reported == free


@pytest.mark.parametrize(("steps", "span"), [("", None), ("7", (7, 7)), ("100-105", (100, 105))])
def test_which_steps_are_traced(steps, span):
    assert Config(profile=ProfileConfig(steps)).profile.span() == span


def test_another_number_of_phases_is_a_difference():
    assert any("phases.1.steps=None, not 1000" in found for found in differences(Config(), changed("scale", 1.0)))


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


@pytest.mark.parametrize(("scale", "decay"), [(0.5, 100), (0.01, 2), (0.001, 0)])
def test_a_decay_is_scaled_and_never_longer_than_what_the_warmup_leaves(scale, decay):
    optimizer = OptimizerConfig(warmup_steps=100, decay_steps=200)
    config = Config(phases=(PhaseConfig(steps=420),), optimizer=optimizer, scale=scale)
    config.check()
    short = config.resolved()
    short.check()
    assert short.optimizer.decay_steps == decay


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(), module.__doc__


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_is_in_order_also_when_short_and_has_its_command(path):
    config, doc = load(path)
    config.check()
    dataclasses.replace(config, scale=0.001).resolved().check()
    assert f"--config=configs/{path.name}" in doc


def test_fine_tuning_has_the_papers_numbers_and_bias_correction():
    """arXiv 1810.04805, A.3; and arXiv 2006.05987 for the correction, without which half of the runs fail."""
    config, _ = load(FINE_TUNING)
    config.check()
    fit, optimizer = config.fit, config.optimizer
    assert (fit.epochs, fit.global_batch_size, fit.warmup_share) == (3.0, 32, 0.1)
    assert (optimizer.learning_rate, optimizer.weight_decay, optimizer.clip_norm) == (5e-5, 0.01, 1.0)
    assert optimizer.bias_correction
    assert config == FineTuningConfig()


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


def test_a_warm_up_that_fills_the_run_is_said():
    config = Config(phases=(PhaseConfig(steps=6),), optimizer=OptimizerConfig(warmup_steps=10))
    (line,) = without_peak(config.optimizer, config.phases)
    assert "never reaches its peak of 0.0001: 6 steps, and a warm-up of 10" in line
    assert without_peak(config.optimizer, (PhaseConfig(steps=11),)) == []


def test_what_has_no_effect_is_said():
    config = Config(optimizer=OptimizerConfig(learning_rate=5e-4), phases=(PhaseConfig(steps=6, learning_rate=1e-3),))
    assert config.without_effect() == ["optimizer.learning_rate=0.0005 is not used: all phases have rates of their own"]
    config = Config(distillation=DistillationConfig(kl_weight=7))
    assert config.without_effect() == ["the settings of distillation are not used: there is no --config.teacher"]
    config_of_task = FineTuningConfig(distillation=TaskDistillationConfig(kl_weight=7))
    assert config_of_task.without_effect() == [
        "the settings of distillation are not used: there is no --config.teacher"
    ]
    both = OptimizerConfig(decay_from_peak=True, decay_steps=2)
    (line,) = FineTuningConfig(optimizer=both).without_effect()
    assert line.startswith("optimizer.decay_from_peak is not used")
    assert dataclasses.replace(config, teacher="bert").without_effect() == Config().without_effect() == []


def test_fine_tuning_has_its_models_architecture_and_its_own_dropout():
    config, model = FineTuningConfig(), ModelConfig(num_hidden_layers=3)
    config.model.hidden_dropout_prob = 0.3
    found = config.for_model(model).model
    assert (found.num_hidden_layers, found.hidden_dropout_prob) == (3, 0.3)
    config.model.num_hidden_layers = 7
    with pytest.raises(UserError, match=r"--config.model.num_hidden_layers=7 .*the model of --init_from has 3; leave"):
        config.for_model(model)
