"""The flag --config: a Python file whose get_config() returns the run's config, and --config.group.key=value.

ml_collections' config_flags reads it. What it would end with a traceback on, or read as something else, is refused
before.
"""

import dataclasses
import difflib
import importlib.machinery
import importlib.util
import re
import sys
import traceback
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, TypeVar

from absl import flags
from ml_collections import config_flags

from bert_jax.config.run import Config
from bert_jax.errors import UserError

_DEFAULTS = ""  # what --config is where it is not given and need not be
_MODULE = "config_file"  # the name under which the file is imported
_HELP = "Python file whose get_config() returns the run's config."
Kind = TypeVar("Kind")
_NUMBER = "-?(0|[1-9][0-9]*)"  # of a phase; 07 is none in Python
_PARSERS = {int: flags.IntegerParser(), float: flags.FloatParser(), str: flags.ArgumentParser()}


def define_config(kind: type[Kind], has_default: bool = False) -> flags.FlagHolder[Kind]:
    """Define --config, and with it --config.group.key for every setting of this kind of run (a dataclass).

    `has_default`: without --config all settings have their defaults.
    """
    for field in set(_ranges(kind)):
        # config_flags knows int, float and str, and nothing of their ranges.
        base = typing.get_args(field)[0] if typing.get_origin(field) is Annotated else str
        config_flags.register_flag_parser_for_type(field, _PARSERS[base])
    holder = config_flags.DEFINE_config_file("config", None, _HELP)
    flags.FLAGS["config"].parser = _ConfigFile(kind, has_default)
    return holder


def put(group: Any, name: str, flag: flags.FlagHolder[Any]) -> None:
    """Set a group's setting to what a flag of its own says, if that is given.

    Raises:
      UserError: the config says something else, which is not the default.
    """
    if flag.present:
        value = ",".join(flag.value) if isinstance(flag.value, list) else flag.value
        said = getattr(group, name)
        if said not in (getattr(type(group)(), name), value):
            raise UserError(f"--{flag.name}={value}, and the config has {name}={said}; leave one of them out")
        setattr(group, name, value)


class _ConfigFile(flags.ArgumentParser):
    """What config_flags has for this keeps an error for later, and does not look at what get_config() gives."""

    def __init__(self, kind: type, has_default: bool) -> None:
        super().__init__()
        self.kind, self.has_default = kind, has_default

    def parse(self, argument: str) -> Any:
        """The config that a file's get_config() returns; what follows a colon is get_config's argument.

        Raises:
          flags.Error: there is no such file, or it fails; names its line.
        """
        if argument == _DEFAULTS and self.has_default:
            return self.kind()
        file, *arguments = [argument] if Path(argument).is_file() else argument.split(":", 1)
        if not Path(file).is_file():
            raise flags.Error(f"--config={file} does not exist; give a file such as configs/tiny.py")
        try:
            config = _load(file).get_config(*arguments)
        except Exception as error:
            raise flags.Error(f"--config={file}{_place(error, file)}: {type(error).__name__}: {error}") from error
        if not isinstance(config, self.kind):
            raise flags.Error(
                f"--config={file}: get_config() gives no bert_jax.config.{self.kind.__name__}; return one"
            )
        return config


def _load(file: str) -> ModuleType:
    loader = importlib.machinery.SourceFileLoader(_MODULE, file)
    spec = importlib.util.spec_from_file_location(_MODULE, file, loader=loader)
    assert spec is not None
    module = sys.modules[_MODULE] = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def _place(error: Exception, file: str) -> str:
    """Where in the file an error came up: ", line 3"; "" where it is of another."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    if isinstance(error, SyntaxError) and error.filename == file:
        lines = [error.lineno]
    return f", line {lines[-1]}" if lines else ""


def check_settings(argv: Sequence[str]) -> None:
    """Raise flags.Error on a setting that does not exist, or that is several: config_flags ends in a traceback."""
    for argument in argv:
        if match := re.match(r"--?(?:no)?config\.([^=]*)", argument):
            _check_key(match[1], _kind_of_run()())
    parser = _parser()
    if parser and parser.has_default and not any(re.match("--?config(=|$)", argument) for argument in argv):
        flags.FLAGS.set_default("config", _DEFAULTS)


def _kind_of_run() -> type:
    """That of the verb's --config; of a verb without one, which takes no settings, any."""
    parser = _parser()
    return parser.kind if parser else Config


def _parser() -> _ConfigFile | None:
    parser = flags.FLAGS["config"].parser if "config" in flags.FLAGS else None
    return parser if isinstance(parser, _ConfigFile) else None


def _check_key(key: str, config: Any) -> None:
    if not re.fullmatch(rf"(\.\w+(\[{_NUMBER}\])?)+", f".{key}"):
        group = dataclasses.fields(config)[0].name
        example = _example(getattr(config, group), group)
        raise flags.Error(f"--config.{key} does not exist; settings are given as in {example}")
    holder, group = config, ""
    for part in re.findall(r"[^.\[\]]+", key):
        if isinstance(holder, tuple):
            if not re.fullmatch(_NUMBER, part):
                remedy = f"there are several {group}, counted from 0; give {_example(holder, group)}"
                raise flags.Error(f"--config.{key} does not exist: {remedy}")
            holder = holder[0]
            continue
        names = [field.name for field in dataclasses.fields(holder)] if dataclasses.is_dataclass(holder) else []
        if part not in names:
            near = difflib.get_close_matches(part, names, 1) or names
            remedy = f"did you mean {' or '.join(near)}?" if near else "it has no parts"
            raise flags.Error(f"--config.{key} does not exist: {part} is no setting; {remedy}")
        holder, group = getattr(holder, part), part
    if isinstance(holder, tuple) or dataclasses.is_dataclass(holder):
        raise flags.Error(f"--config.{key} is several settings; give each by itself, as in {_example(holder, key)}")


def _example(holder: Any, key: str) -> str:
    """How the first setting of a group, or of a tuple of groups, is given."""
    if isinstance(holder, tuple):
        return _example(holder[0], f"{key}[0]")
    first = dataclasses.fields(holder)[0]
    return f"--config.{key}.{first.name}={getattr(holder, first.name)}"


def _ranges(kind: Any) -> Iterator[Any]:
    """The type of each setting whose range stands with it."""
    for field in typing.get_type_hints(kind, include_extras=True).values():
        of_tuple = typing.get_args(field)[0] if typing.get_origin(field) is tuple else field
        if dataclasses.is_dataclass(of_tuple):
            yield from _ranges(of_tuple)
        elif typing.get_origin(field) is not None:
            yield field
