"""Runs verbs of bert_jax, each in a child of a process that has imported what verbs import: a second instead of ten.

A request is a JSON line on stdin: {"verb", "flags", "stderr" (a file), "seconds"}; the answer a JSON line on stdout:
{"status": the exit code, or -N for the signal N, or null after so many seconds}. A child runs the verb as
`python -m bert_jax.VERB` does.
"""

import ast
import importlib
import json
import os
import runpy
import signal
import sys
import time
from pathlib import Path

PACKAGE = Path(__file__).parent.parent.parent / "bert_jax"
VERBS = ("build_vocab", "build_records", "pretrain", "evaluate", "export", "report/__main__")


def import_what_verbs_import():
    # Not the verbs themselves: each defines its flags when it is imported, and several have the same.
    for verb in VERBS:
        for node in ast.walk(ast.parse((PACKAGE / f"{verb}.py").read_text())):
            if isinstance(node, ast.ImportFrom):
                importlib.import_module(node.module)


def run_in_child(verb, flags, stderr):
    os.setsid()  # so that worker processes of a verb that hangs end with it
    file = os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.argv = [verb, *flags]
    try:
        runpy.run_module(f"bert_jax.{verb}", run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def wait(child, seconds):
    given_up = time.monotonic() + seconds
    while time.monotonic() < given_up:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def main():
    import_what_verbs_import()
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if not child:
            run_in_child(request["verb"], request["flags"], request["stderr"])
        print(json.dumps({"status": wait(child, request["seconds"])}), flush=True)


if __name__ == "__main__":
    main()
