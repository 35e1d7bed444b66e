"""A verb of bert_jax as a process, for the benchmarks that are made of runs."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def verb(name: str, *flags: str) -> str:
    """What it prints; CalledProcessError where it fails."""
    command = [sys.executable, "-m", f"bert_jax.{name}", *flags]
    print(*command, file=sys.stderr, flush=True)
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
