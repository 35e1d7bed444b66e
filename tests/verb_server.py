"""Runs verbs of bert_jax, each in a child of a process that has imported what verbs import, which takes seconds.

A request is a JSON line on stdin: {"verb", "flags", "stdout", "stderr" (files), "seconds" (null: as long as it takes)};
the answer is a JSON line on stdout: {"status": the exit code, or -N for the signal N, or null after so many seconds}. A
child runs the verb as `python -m bert_jax.VERB` does, and ends as that does. The other end is Verbs in conftest.py.
"""

import ast
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
VERBS = ("build_vocab", "build_records", "pretrain", "finetune", "predict", "evaluate", "export", "plan", "report")


def import_what_verbs_import():
    # Not the verbs themselves: each defines its flags when it is imported, and several have the same.
    for verb in VERBS:
        for node in ast.walk(ast.parse((PACKAGE / f"{verb}.py").read_text())):
            if isinstance(node, ast.ImportFrom):
                importlib.import_module(node.module)


def run_in_child(verb, flags, stdout, stderr):
    os.setsid()  # so that worker processes of a verb that hangs end with it
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for descriptor, file in ((1, stdout), (2, stderr)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    sys.argv = [verb, *flags]
    runpy.run_module(f"bert_jax.{verb}", run_name="__main__", alter_sys=True)


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


def main():
    import_what_verbs_import()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    gc.collect()
    gc.freeze()  # a child's collections need not look at all that is imported
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        seconds = request.pop("seconds")
        child = os.fork()
        if not child:
            run_in_child(**request)
            return
        print(json.dumps({"status": wait(child, seconds)}), flush=True)


if __name__ == "__main__":
    main()
