"""Runs verbs of bert_jax, each in a child of a process that has imported what verbs import, which takes seconds.

A request is a JSON line on stdin: {"kind": "run", "program" (a module or a .py file), "flags", "stdout", "stderr"
(files), "seconds" (null: as long as it takes)}; the answer is a JSON line on stdout: the exit code, or -N for the
signal N, or null after so many seconds. A child runs the program as `python -m` does, and ends as that does.

Of {"kind": "start", "program", "flags", "devices" (of a CPU), "stderr", "status" (named pipes)} the answer comes at
once. The pipe `status` gets a line with the child's pid, and at its end one with its exit code.

The other end is verbs.py.
"""

import ast
import contextlib
import gc
import importlib
import json
import os
import runpy
import signal
import sys
import time
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "bert_jax"
MAKING = ("build_vocab", "build_records", "plan", "pretrain", "finetune")
VERBS = (*MAKING, "predict", "embed", "evaluate", "export", "report")


def import_what_verbs_import():
    # Not the verbs themselves: each defines its flags when it is imported, and several have the same.
    for verb in VERBS:
        for node in ast.walk(ast.parse((PACKAGE / f"{verb}.py").read_text())):
            if isinstance(node, ast.ImportFrom):
                importlib.import_module(node.module)


def in_child(program, flags, stdout, stderr, devices=0):
    """What `python -m PROGRAM FLAGS` does."""
    os.setsid()  # so that worker processes of a verb that hangs end with it
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for descriptor, file in ((1, stdout), (2, stderr)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    if devices:
        sys.modules["jax"].config.update("jax_num_cpu_devices", devices)
    sys.argv = [program, *flags]
    if program.endswith(".py"):
        runpy.run_path(program, run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=True)


def wait(child, seconds):
    given_up = time.monotonic() + (seconds or float("inf"))
    try:
        while time.monotonic() < given_up:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                child = 0
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        return None
    finally:
        if child:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)


def run(seconds, **program):
    """True in the child, when its program has ended."""
    child = os.fork()
    if not child:
        in_child(**program)
        return True
    answer(wait(child, seconds))
    return False


def start(status, **program):
    """True in the child, when its program has ended; a process between it and this one waits for it."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:  # earlier ones that have ended
            pass
    keeper = os.fork()
    if keeper:
        answer(None)
        return False
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with Path(status).open("w", buffering=1) as pipe:
        child = os.fork()
        if child:
            pipe.write(f"{child}\n")
            pipe.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
            os._exit(0)
    in_child(stdout=os.devnull, **program)
    return True


def answer(value):
    print(json.dumps(value), flush=True)


def main():
    import_what_verbs_import()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    # FLOP/s; measuring takes a second of each training. parallel/peak_test.py measures, and so do real processes.
    sys.modules["bert_jax.parallel.peak"].measured_peak = lambda *_: 1e11
    gc.collect()
    gc.freeze()  # a child's collections need not look at all that is imported
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if {"run": run, "start": start}[request.pop("kind")](**request):
            return


if __name__ == "__main__":
    main()
