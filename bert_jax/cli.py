"""How every verb starts: flags are parsed, and a user's mistake ends as one line, not as a traceback."""

import errno
import gc
import inspect
import io
import logging as python_logging
import math
import os
import re
import select
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import app, flags, logging

from bert_jax import ctrl_c
from bert_jax.config.command_line import check_settings
from bert_jax.errors import UserError
from bert_jax.storage.cloud import check_access, explained
from bert_jax.storage.paths import check_arguments, check_place, is_utf8, refusal


def run(main: Callable[[Sequence[str]], None], output: flags.FlagHolder[str | None] | None = None) -> None:
    """Parse flags and run `main(argv)`; exit with 2 on a wrong flag, with 1 on a UserError or a refused path.

    That is one line; any other exception is a mistake of ours and ends in a traceback. `output` is the flag of the
    directory that is made: refused at once where none can be, and named when its disk is full.
    """
    ctrl_c.install()  # where the verb was not started as a module
    sys.argv[1:] = [_with_home(argument) for argument in sys.argv[1:]]
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # what is printed is JSON, and may be piped into a file
    # Tracing a model leaves half a million objects, and by its defaults Python looks through all of them ten times
    # meanwhile: a twentieth of a start whose programs are compiled already.
    gc.set_threshold(20_000, 50, 10)
    _log_our_lines_only()
    app.run(lambda argv: _guarded(main, argv, output), flags_parser=_parse_flags)


def _with_home(argument: str) -> str:
    """An argument with its ~/ written out, as shells do where it stands first, and not in --workdir=~/run or a list."""
    return re.sub(r"(?<=[=,])~(?=/)|^~(?=/)", lambda _: str(Path.home()), argument)


def _log_our_lines_only() -> None:
    """Log lines as "12:34:56 text": ours from INFO up, the libraries' (Orbax logs every file) from WARNING up."""
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
    # What these log as an error they also raise or try again, and then it is one line.
    return line.levelno >= python_logging.WARNING and not {"orbax", "asyncio", "gcsfs"} & set(Path(line.pathname).parts)


def _tell_unraisable(error: "sys.UnraisableHookArgs") -> None:
    # When a write or a read of a checkpoint fails, Orbax closes its event loop and leaves the others unfinished: they
    # find it closed, or complain when they are thrown away.
    if error.exc_type is KeyboardInterrupt:  # raised where nothing can be: it would be lost
        ctrl_c.leave()
    is_orbax = inspect.iscoroutine(error.object) and "orbax" in Path(error.object.cr_code.co_filename).parts
    if str(error.exc_value) != "Event loop is closed" and not is_orbax:
        sys.__unraisablehook__(error)


_LONGEST, _END = 1200, 300  # characters of an error, and of its end

_PLAIN_WORDS = {
    r"flag --(\w+)=None: Flag --\1 must have a value other than None\.": r"--\1 is missing, give it a value;",
    r"invalid literal for int\(\) with base 10: ('.*')": r"\1 is not a whole number; give one, without a point",
    r"could not convert string to float: ('.*')": r"\1 is not a number; give one, say 1e-4",
}


def _parse_flags(argv: Sequence[str]) -> list[str]:
    if odd := next((argument for argument in argv if not is_utf8(argument)), None):
        _fail(f"{os.fsencode(odd)!r} is not UTF-8, as every path and value has to be; rename the file", status=2)
    try:
        check_settings(argv)
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
    for name, value in flags.FLAGS.flag_values_dict().items():
        if isinstance(value, float) and not math.isfinite(value):  # which absl lets through any bounds
            _fail(f"--{name}={value} is no finite number; give one", status=2)
        if flags.FLAGS[name].present and flags.FLAGS[name].default is None:
            _check_not_empty(name, value)
    return list(rest)


def _check_not_empty(name: str, value: Any) -> None:
    """End at a path, or one of a list's, that is empty, as of an unset shell variable: it would mean this directory."""
    parts = value if isinstance(value, list) else [value]
    if "" in parts or not parts:
        written = f"={','.join(parts)} has an empty part" if any(parts) else " is empty"
        _fail(f"--{name}{written}; give a value (is a shell variable unset?)", status=2)


def refuse(names: Sequence[str], why: str) -> None:
    """Raise UserError if one of these flags was given: what the verb is asked for would not look at it."""
    for name in names:
        if flags.FLAGS[name].present:
            raise UserError(f"--{name} {why}; leave it out")


def _guarded(
    main: Callable[[Sequence[str]], None], argv: Sequence[str], output: flags.FlagHolder[str | None] | None
) -> None:
    try:
        with ctrl_c.raised():
            check_access(sys.argv[1:])
            check_arguments(sys.argv[1:])
            if output is not None and output.value is not None:
                check_place(output.value, output.name)
            main(argv)
            sys.stdout.flush()
    except UserError as error:
        _fail(str(error), status=1)
    except KeyboardInterrupt:  # of a training that was asked to stop, and did so in order
        _fail(ctrl_c.LINE, status=ctrl_c.CODE)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _reader_is_gone():
            sys.exit(128 + signal.SIGPIPE)  # as a shell has it of any program
        logging.debug("The traceback of what follows, which --verbosity=1 shows", exc_info=error)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            _fail(
                f"no space left on the disk{_full(error, output)}; free some and run the same command again", status=1
            )
        if line := explained(error) or refusal(error) or _too_little_memory(error):
            _fail(line, status=1)
        raise


def _full(error: OSError, output: flags.FlagHolder[str | None] | None) -> str:
    """Of which path, as far as that is known: a full disk may be another one, such as that of temporary files."""
    if output is None or output.value is None:
        return f" of {error.filename}" if error.filename else ""
    where = Path(output.value).absolute()
    if error.filename and not Path(os.fsdecode(error.filename)).absolute().is_relative_to(where):
        return f" of {error.filename}"
    return f" of --{output.name}={output.value}"


def _too_little_memory(error: Exception) -> str | None:
    """One line for a device that is too small for what is computed; None for any other error."""
    if type(error).__name__ not in ("JaxRuntimeError", "XlaRuntimeError") or "RESOURCE_EXHAUSTED" not in str(error):
        return None
    reason = " ".join(str(error).splitlines()[0].split())[:200]
    return (
        f"a device has too little memory ({reason}); take smaller batches, or what README.md names for it under "
        '"When something is wrong"'
    )


def _reader_is_gone() -> bool:
    """Whether who read this process's output has ended, as in `... | head`; what is left of it is thrown away then."""
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)  # errors are always told
    if not output.poll(0):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def _fail(message: str, status: int) -> None:
    if len(message) > _LONGEST:  # it quotes a name or a library that quotes a file: what matters is at both ends
        message = f"{message[: _LONGEST - _END]} ... {message[-_END:]}"
    print(f"error: {message}", file=sys.stderr)
    sys.exit(status)
