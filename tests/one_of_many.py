"""This process as one of a job of many: for counting what each asks of the storage that they share."""

import collections
import contextlib
import itertools
from unittest import mock

import jax
from jax._src import distributed
from jax.experimental import multihost_utils

from bert_jax.parallel import first_process


class Meeting:
    """What a job's processes meet in, of which one after the other is simulated: nobody waits.

    Attributes:
        calls: how often what was called.
    """

    def __init__(self):
        self.calls, self._told = collections.Counter(), {}

    def key_value_set(self, key, value):
        self.calls["tells"] += 1
        assert key not in self._told
        self._told[key] = value

    def blocking_key_value_get(self, key, timeout_in_ms):
        self.calls["hears"] += 1
        return self._told[key]

    def wait_at_barrier(self, key, timeout_in_ms, process_ids=None):
        self.calls["barriers"] += 1

    def sync_global_devices(self, name):
        self.calls["barriers"] += 1


@contextlib.contextmanager
def one_of_many(number, processes, meeting):
    """Within it this process takes itself for that one of so many; process 0 comes first."""
    if processes == 1:
        yield
        return
    with contextlib.ExitStack() as stack:
        for owner, name, value in (
            (jax, "process_index", lambda: number),
            (jax, "process_count", lambda: processes),
            (jax.distributed, "is_initialized", lambda: True),
            (distributed.global_state, "client", meeting),
            (multihost_utils, "sync_global_devices", meeting.sync_global_devices),
            (first_process, "_calls", itertools.count()),
        ):
            stack.enter_context(mock.patch.object(owner, name, value))
        yield
