"""What a job's first process finds out for all: hundreds that look at the same files at once are a burden on storage.

It is told through the service by which the processes found each other, so no device takes part, and they wait for as
long as the first one looks.
"""

import contextlib
import itertools
import json
from collections.abc import Callable
from typing import Any, TypeVar

import jax
from jax._src import distributed

from bert_jax.errors import UserError
from bert_jax.parallel.processes import is_first

_MOMENT, _A_MINUTE = 1000, 60_000  # ms

_Made = TypeVar("_Made")
_calls = itertools.count()


def share_before() -> float:
    """Which share of the job's processes (0 to 1) comes before this one: so that each can begin at another place."""
    several = jax.distributed.is_initialized()  # else JAX would start its devices to count the processes
    return jax.process_index() / jax.process_count() if several else 0.0


def _as_it_is(told: Any) -> Any:
    return told


def broadcast_from_first(
    make: Callable[[], _Made],
    tells: Callable[[_Made], Any] = _as_it_is,
    take: Callable[[Any], _Made] = _as_it_is,
) -> _Made:
    """What `make` gives, which only the first process calls; of what it `tells` as JSON the others `take` the same.

    All processes call this equally often and in the same order. One process alone just makes it.

    Raises:
      UserError: `make` raised one, in whichever process. What else it raises there is a UserError in the others.
    """
    if not jax.distributed.is_initialized() or jax.process_count() == 1:
        return make()
    client, key = distributed.global_state.client, f"bert_jax/broadcast_from_first/{next(_calls)}"
    assert client is not None

    def part() -> None:
        """The service ends with the first process, which has failed: not before all know why."""
        with contextlib.suppress(jax.errors.JaxRuntimeError):
            client.wait_at_barrier(f"{key}/failed", _A_MINUTE)

    if not is_first():
        heard = json.loads(_heard(client, key))
        if "error" in heard:
            part()
            raise UserError(heard["error"])
        return take(heard["found"])
    try:
        made = make()
        told = json.dumps({"found": tells(made)})
    except Exception as error:
        client.key_value_set(key, json.dumps({"error": str(error)}))
        part()
        raise
    client.key_value_set(key, told)
    return made


def _heard(client: Any, key: str) -> str:
    """What the first process tells, however long it takes: it may have to walk along terabytes."""
    while True:  # a moment each: until such a call ends, Python sees no signal
        try:
            return client.blocking_key_value_get(key, _MOMENT)
        except jax.errors.JaxRuntimeError as error:
            if "DEADLINE_EXCEEDED" not in str(error):
                raise
