"""config.json: what is written is read back, and what no run has written is refused with its path."""

import dataclasses
import json
import typing

import pytest

from bert_jax.config import Config, PhaseConfig
from bert_jax.config.file import from_dict, to_json
from bert_jax.errors import UserError

SOURCE = "runs/a/config.json"


def test_what_is_on_disk_is_read_back_the_same():
    config = Config(phases=(PhaseConfig(steps=7), PhaseConfig(max_seq_length=512, learning_rate=1e-5)))
    config.data.masking = "roberta"  # with which its shares may be any
    for group in (*vars(config).values(), *config.phases):
        if dataclasses.is_dataclass(group):
            for name, kind in typing.get_type_hints(type(group)).items():
                if kind is float:  # no two alike, so that none can be mixed up
                    setattr(group, name, getattr(group, name) * 0.9 + 1e-3 / len(name))
    assert from_dict(json.loads(to_json(config)), SOURCE, Config) == config


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda values: values["model"].update(wings=2), "`model.wings` is no setting"),
        (lambda values: values.update(wings=2), "`wings` is no setting"),
        (lambda values: values.update(phases=[{"steps": 3}, {"legs": 4}]), "`phases[1].legs` is no setting"),
        (lambda values: values.pop("phases"), "`phases` is missing"),
        (lambda values: values["model"].update(hidden_size="32"), "Expected `int`, got `str` at `model.hidden_size`"),
        (lambda values: values["model"].update(num_hidden_layers=10**9), "`int` <= 1000 at `model.num_hidden_layers`"),
        (lambda values: values["optimizer"].update(epsilon=float("nan")), "`float` >= 1e-30 at `optimizer.epsilon`"),
        (lambda values: values["train"].update(dtype="int4"), "Invalid enum value 'int4' at `train.dtype`"),
        (lambda values: values["train"].update(check_nans=0), "Expected `bool`, got `int` at `train.check_nans`"),
        (lambda values: values.update(model=None), "Expected `object`, got `null` at `model`"),
        (lambda values: values.update(model=[1]), "Expected `object`, got `array` at `model`"),
        (lambda values: values.update(phases={"steps": 3}), "Expected `array`, got `object` at `phases`"),
        (lambda values: values.update(phases=["x"]), "Expected `object`, got `str` at `phases[0]`"),
        (lambda values: values["model"].update(hidden_size=31), ": model.hidden_size=31 cannot be used; give a mult"),
        (lambda values: values.update(phases=[]), ": phases=() cannot be used; give at least one"),
    ],
)
def test_a_file_that_no_run_of_this_version_wrote_is_one_line_with_its_path(change, key):
    values = json.loads(to_json(Config()))
    change(values)
    with pytest.raises(UserError) as error:
        from_dict(values, SOURCE, Config)
    message = str(error.value)
    assert message.startswith(f"{SOURCE}")
    assert key in message
    assert "\n" not in message
    assert "--config" not in message


@pytest.mark.parametrize("values", [None, [], 3, "x", {}])
def test_what_is_no_config_at_all(values):
    with pytest.raises(UserError, match=rf"^{SOURCE} is .* start a new --workdir$"):
        from_dict(values, SOURCE, Config)


def test_a_setting_of_which_an_earlier_version_knew_nothing_has_its_default():
    values = json.loads(to_json(Config()))
    del values["train"]["remat"], values["evaluation"]
    assert from_dict(values, SOURCE, Config) == Config()
