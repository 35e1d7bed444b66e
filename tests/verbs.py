"""Verbs run, and started, in children of a process that has imported what they import: verb_server.py."""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import MappingProxyType

import jax

ROOT = Path(__file__).parent.parent
# XLA's older way of writing a fusion's loops, which takes half as long; newer releases have no other than the new one.
PLAIN_LOOPS = [("xla_cpu_use_fusion_emitters", False)] if jax.__version_info__ < (0, 11) else []
# As `quick_compilation`, for processes.
XLA_FLAGS = " ".join(f"--{name}={str(value).lower()}" for name, value in PLAIN_LOOPS)
QUICK_COMPILATION = MappingProxyType({"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "XLA_FLAGS": XLA_FLAGS})
# Of a process that is started, without what pytest puts there for each test, and libraries when they are imported.
INHERITED = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}


class Verbs:
    """Runs verbs, seconds less for each than with a process of its own from the start.

    For tests of what a verb does. Tests of Ctrl-C, and of how a process starts, start real ones.
    """

    def __init__(self, *interpreter, environment=QUICK_COMPILATION):
        self._command = [*(interpreter or [sys.executable]), str(ROOT / "tests" / "verb_server.py")]
        self._environment, self._server = INHERITED | environment, None

    def run(self, verb, *flags):
        """The finished process of `python -m bert_jax.VERB FLAGS`."""
        flags = [str(flag) for flag in flags]
        with tempfile.TemporaryDirectory() as directory:
            files = [Path(directory) / name for name in ("stdout", "stderr")]
            status = self.status(verb, flags, *files)
            return subprocess.CompletedProcess([verb, *flags], status, *(file.read_text() for file in files))

    def status(self, verb, flags, stdout, stderr, seconds=None):
        """Its exit code, or None after so many seconds; what it says is appended to these files."""
        return self._ask(
            "run", program=f"bert_jax.{verb}", flags=flags, stdout=str(stdout), stderr=str(stderr), seconds=seconds
        )

    def start(self, program, *flags, devices=1):
        """The process of `python -m PROGRAM FLAGS`, or of a .py file, that has been started on so many CPU devices."""
        return Started(lambda **files: self._ask("start", program=program, flags=flags, devices=devices, **files))

    def _ask(self, kind, **request):
        if self._server is None:
            self._server = self._start()
        try:
            self._server.stdin.write(json.dumps({"kind": kind, **request}) + "\n")
            self._server.stdin.flush()
            return json.loads(self._server.stdout.readline())
        except BaseException:  # a test's time is over: the answer is not for the next one
            self.close()
            raise

    def _start(self):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        server = subprocess.Popen(self._command, cwd=ROOT, env=self._environment, text=True, **pipes)
        assert server.stdout.readline() == "ready\n"
        return server

    def close(self):
        """End that process, and the verb that it runs."""
        if self._server is not None:
            self._server.terminate()
            self._server.communicate()
            self._server = None


class Started:
    """A process that the server has started, with what tests use of subprocess.Popen; stdout is not kept."""

    def __init__(self, start):
        self.returncode = None
        with tempfile.TemporaryDirectory() as directory:
            stderr, status = (str(Path(directory) / name) for name in ("stderr", "status"))
            for pipe in (stderr, status):
                os.mkfifo(pipe)
            start(stderr=stderr, status=status)
            self._status = Path(status).open()  # noqa: SIM115  # its pid at once, and its exit code at its end
            self.pid = int(self._status.readline())
            self.stderr = Path(stderr).open()  # noqa: SIM115

    def poll(self):
        """The exit code, negative for a signal, or None while it runs."""
        if self.returncode is None and select.select([self._status], [], [], 0)[0]:
            self.returncode = int(self._status.readline())
        return self.returncode

    def communicate(self, timeout=threading.TIMEOUT_MAX):
        """Nothing, and the rest of what it says until its end. After `timeout` seconds it is killed."""
        timer = threading.Timer(timeout, self.kill)
        timer.start()
        with self.stderr:
            rest = self.stderr.read()
        if self.returncode is None:
            self.returncode = int(self._status.readline())
        timer.cancel()
        self._status.close()
        return None, rest

    def send_signal(self, number):
        """Send it this signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        """Send it SIGKILL, unless it has ended."""
        self.send_signal(signal.SIGKILL)
