"""How every verb starts: flags are parsed, and a user's mistake ends as one line, not as a traceback."""

import dataclasses
import difflib
import errno
import inspect
import logging as python_logging
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import app, flags, logging

from bert_jax import ctrl_c
from bert_jax.config import Config
from bert_jax.errors import UserError
from bert_jax.storage.cloud import check_access, explained


def run(main: Callable[[Sequence[str]], None], output: flags.FlagHolder[str | None] | None = None) -> None:
    """Parse flags and run `main(argv)`; exit with 2 on a wrong flag and with 1 on a UserError or a full disk.

    `output` is the flag of the directory that is written, named when its disk is full.
    """
    ctrl_c.install()  # where the verb was not started as a module
    _log_our_lines_only()
    app.run(lambda argv: _guarded(main, argv, output), flags_parser=_parse_flags)


def _log_our_lines_only() -> None:
    """Log lines as "12:34:56 text": ours from INFO up, the libraries' (Orbax tells of every file) from WARNING up."""
    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)
    handler = logging.get_absl_handler()
    handler.setFormatter(python_logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    handler.addFilter(_is_worth_telling)
    sys.unraisablehook = _tell_unraisable
    # When a write of a checkpoint fails, Orbax never starts the others; Python finds them after our one line is out.
    warnings.filterwarnings("ignore", "coroutine '.*' was never awaited", RuntimeWarning)


def _is_worth_telling(line: python_logging.LogRecord) -> bool:
    if line.pathname.startswith(str(Path(__file__).parent)):
        return True
    # What these log as an error they also raise or try again, and then it is told as one line.
    return line.levelno >= python_logging.WARNING and not {"orbax", "asyncio", "gcsfs"} & set(Path(line.pathname).parts)


def _tell_unraisable(error: "sys.UnraisableHookArgs") -> None:
    # When a write or a read of a checkpoint fails, Orbax closes its event loop and leaves the others unfinished: they
    # find it closed, or complain when they are thrown away.
    if error.exc_type is KeyboardInterrupt:  # raised where nothing can be: it would be lost
        ctrl_c.leave()
    is_orbax = inspect.iscoroutine(error.object) and "orbax" in Path(error.object.cr_code.co_filename).parts
    if str(error.exc_value) != "Event loop is closed" and not is_orbax:
        sys.__unraisablehook__(error)


_PLAIN_WORDS = {
    r"flag --(\w+)=None: Flag --\1 must have a value other than None\.": r"--\1 is missing, give it a value;",
    r"invalid literal for int\(\) with base 10: ('.*')": r"\1 is not a whole number; give one, without a point",
    r"could not convert string to float: ('.*')": r"\1 is not a number; give one, say 1e-4",
}


def _parse_flags(argv: Sequence[str]) -> list[str]:
    try:
        _check_settings(argv)
        rest = flags.FLAGS(argv)
    except IndexError:
        _fail("a --config.phases[N] does not exist: N counts the phases of the --config file from 0", status=2)
    except (flags.Error, TypeError, ValueError) as error:
        message = " ".join(str(error).split())
        for theirs, ours in _PLAIN_WORDS.items():
            message = re.sub(theirs, ours, message)
        _fail(message.rstrip(";"), status=2)
    if len(rest) > 1:
        _fail(f"unexpected argument {rest[1]!r}; options are written --name=value", status=2)
    return list(rest)


def _check_settings(argv: Sequence[str]) -> None:
    """Raise flags.Error on a --config file or a key in it that does not exist: config_flags ends in a traceback."""
    for file in (match[1] for argument in argv if (match := re.match(r"--?config=([^:]+)", argument))):
        if not Path(file).is_file():
            raise flags.Error(f"--config={file} does not exist; give a file such as configs/tiny.py")
    for key in (match[1] for argument in argv if (match := re.match(r"--config\.([\w.\[\]]+)", argument))):
        holder: Any = Config()
        for part in re.findall(r"\w+", key):
            names = [field.name for field in dataclasses.fields(holder)] if dataclasses.is_dataclass(holder) else []
            if part not in names and not (part.isdigit() and isinstance(holder, tuple)):
                near = difflib.get_close_matches(part, names, 1) or names
                remedy = f"did you mean {' or '.join(near)}?" if near else "it has no parts"
                raise flags.Error(f"--config.{key} does not exist: {part} is no setting; {remedy}")
            holder = holder[0] if isinstance(holder, tuple) else getattr(holder, part)


def _guarded(
    main: Callable[[Sequence[str]], None], argv: Sequence[str], output: flags.FlagHolder[str | None] | None
) -> None:
    try:
        with ctrl_c.raised():
            check_access(sys.argv[1:])
            main(argv)
    except UserError as error:
        _fail(str(error), status=1)
    except KeyboardInterrupt:  # of a training that was asked to stop, and did so in order
        _fail(ctrl_c.LINE, status=ctrl_c.CODE)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            place = f"--{output.name}={output.value}" if output is not None else error.filename
            _fail(f"no space left on the disk of {place}; free some and run the same command again", status=1)
        if line := explained(error):
            _fail(line, status=1)
        raise


def _fail(message: str, status: int) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(status)
