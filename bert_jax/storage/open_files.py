"""How many files this process may have open."""

import contextlib
import resource


def let_stay_open(number: int) -> None:
    """Raise this process' limit of open files by `number`, as far as the system lets it; often it is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY:
        most = soft + number if hard == resource.RLIM_INFINITY else min(soft + number, hard)
        with contextlib.suppress(ValueError, OSError):  # of systems with another limit behind an infinite one
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
