"""How every verb starts: flags are parsed, and a user's mistake ends as one line, not as a traceback."""

import errno
import logging as python_logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import app, flags, logging

from bert_jax.errors import UserError


def run(main: Callable[[Sequence[str]], None]) -> None:
    """Parse flags and run `main(argv)`; exit with 2 on a wrong flag and with 1 on a UserError or a full disk."""
    _log_our_lines_only()
    app.run(lambda argv: _guarded(main, argv), flags_parser=_parse_flags)


def _log_our_lines_only() -> None:
    """Log lines as "12:34:56 text": ours from INFO up, the libraries' (Orbax tells of every file) from WARNING up."""
    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)
    handler = logging.get_absl_handler()
    handler.setFormatter(python_logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    package = str(Path(__file__).parent)
    handler.addFilter(lambda line: line.levelno >= python_logging.WARNING or line.pathname.startswith(package))


def _parse_flags(argv: Sequence[str]) -> list[str]:
    try:
        rest = flags.FLAGS(argv)
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
        _fail(" ".join(str(error).split()), status=2)
    if len(rest) > 1:
        _fail(f"unexpected argument {rest[1]!r}; options are written --name=value", status=2)
    return list(rest)


def _guarded(main: Callable[[Sequence[str]], None], argv: Sequence[str]) -> None:
    try:
        main(argv)
    except UserError as error:
        _fail(str(error), status=1)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _fail(
            f"no space left on the disk of {error.filename or 'the output'}; free some and run the same command again",
            1,
        )


def _fail(message: str, status: int) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(status)
